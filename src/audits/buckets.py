"""The bounds of a histogram's buckets. Times are microseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# The first and the last instant that a `datetime` can have.
EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def to_microseconds(time: datetime) -> int:
    return (time - EPOCH) // _MICROSECOND


def to_time(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def find_bounds(first: int, end: int, buckets: int) -> list[int]:
    """The bounds of `buckets`, which cover every time from `first` to before `end`. Years are 1 to 9999.

    All buckets are equally long, to a microsecond. There are fewer where they would be shorter than that.
    """
    first, end = max(first, EARLIEST), min(end, LATEST)
    first = min(first, end - 1)
    count = min(buckets, end - first)
    return [first + (end - first) * number // count for number in range(count + 1)]
