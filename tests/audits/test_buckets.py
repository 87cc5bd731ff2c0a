"""The bounds of a histogram's buckets."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from src.audits.buckets import EARLIEST, LATEST, find_bounds, to_microseconds, to_time


def times(bounds: list[int]) -> list[str]:
    return [to_time(bound).isoformat() for bound in bounds]


def at(text: str) -> int:
    return to_microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


@given(st.integers(EARLIEST, LATEST), st.integers(1, LATEST - EARLIEST), st.integers(1, 120))
@example(LATEST, 1, 1)
@example(LATEST - 1, 1, 120)
@example(EARLIEST, LATEST - EARLIEST, 1)
@example(EARLIEST, LATEST - EARLIEST, 2)
@example(EARLIEST, 1, 120)
def test_bounds_hold_every_time_in_as_many_buckets_as_were_asked_for(first: int, width: int, buckets: int) -> None:
    end = min(first + width, LATEST)
    bounds = find_bounds(first, end, buckets)
    assert len(bounds) == min(buckets, end - min(first, LATEST - 1)) + 1
    assert all(one < other for one, other in pairwise(bounds))
    assert bounds[0] <= min(first, LATEST - 1)
    assert bounds[-1] >= end
    assert [to_microseconds(to_time(bound)) for bound in bounds] == bounds


def test_buckets_are_equally_long() -> None:
    begin, end = at("2026-01-31T12:00:00"), at("2026-02-01T12:00:00")
    assert times(find_bounds(begin, end, 4)) == [
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T18:00:00+00:00",
        "2026-02-01T00:00:00+00:00",
        "2026-02-01T06:00:00+00:00",
        "2026-02-01T12:00:00+00:00",
    ]
    assert {other - one for one, other in pairwise(find_bounds(begin, begin + 100, 7))} == {14, 15}


def test_no_bucket_is_shorter_than_a_microsecond() -> None:
    first = at("2026-01-31T12:00:00")
    assert find_bounds(first, first + 5, 120) == [*range(first, first + 6)]
    assert to_time(first + 1) - to_time(first) == timedelta(microseconds=1)
