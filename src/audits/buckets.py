"""The bounds of a histogram's buckets: round times of UTC. Times are microseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3_600 * _SECOND, 86_400 * _SECOND
# A Monday.
_ORIGIN = -3 * _DAY
_STEPS = (
    *(digit * unit for unit in (1, 10, 100, 1_000, 10_000, 100_000) for digit in (1, 2, 5)),
    *(number * unit for unit in (_SECOND, _MINUTE) for number in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(number * _HOUR for number in (1, 2, 3, 4, 6, 8, 12)),
    *(number * _DAY for number in (1, 2, 4, 7, 14)),
)
_MONTHS = (1, 2, 3, 4, 6, *(12 * years for years in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)))
# The first and the last instant that a `datetime` can have.
EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def to_microseconds(time: datetime) -> int:
    return (time - EPOCH) // _MICROSECOND


def to_time(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def find_bounds(first: int, end: int, buckets: int) -> list[int]:
    """The bounds of at most so many buckets, in which every time from `first` to before `end` is.

    Each bucket but the first and the last begins and ends at a round time. Years are 1 to 9999.
    """
    first, end = max(first, EARLIEST), min(end, LATEST)
    first = min(first, end - 1)
    if buckets == 1:
        return [first, end]
    bounds = _in_steps(first, end, buckets) or _in_months(first, end, buckets)
    return [max(bounds[0], EARLIEST), *bounds[1:-1], min(bounds[-1], LATEST)]


def _in_steps(first: int, end: int, buckets: int) -> list[int]:
    """The bounds with the shortest step that has at most so many buckets; empty if none is long enough."""
    for step in _STEPS:
        start = (first - _ORIGIN) // step * step + _ORIGIN
        if len(bounds := range(start, end + step, step)) <= buckets + 1:
            return [*bounds]
    return []


def _in_months(first: int, end: int, buckets: int) -> list[int]:
    for months in _MONTHS:
        start, last = (_month(time) // months * months for time in (first, end - 1))
        if len(bounds := range(start, last + months + 1, months)) <= buckets + 1:
            return [_start_of_month(month) for month in bounds]
    raise AssertionError("10,000 years are one bucket")


def _month(microseconds: int) -> int:
    time = to_time(microseconds)
    return time.year * 12 + time.month - 1


def _start_of_month(number: int) -> int:
    year, month = divmod(number, 12)
    if year < 1:
        return EARLIEST
    if year > 9999:
        return LATEST
    return to_microseconds(datetime(year, month + 1, 1, tzinfo=UTC))
