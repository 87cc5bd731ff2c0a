"""The bounds of a histogram's buckets."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
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
def test_bounds_hold_every_time_in_at_most_as_many_buckets_as_were_asked_for(
    first: int, width: int, buckets: int
) -> None:
    end = min(first + width, LATEST)
    bounds = find_bounds(first, end, buckets)
    assert 2 <= len(bounds) <= buckets + 1
    assert all(one < other for one, other in pairwise(bounds))
    assert bounds[0] <= min(first, LATEST - 1)
    assert bounds[-1] >= end
    assert [to_microseconds(to_time(bound)) for bound in bounds] == bounds


@given(st.integers(at("1970-01-01"), at("2100-01-01")), st.integers(0, 17), st.integers(2, 120))
def test_there_are_few_buckets_only_where_time_has_no_finer_unit(first: int, digits: int, buckets: int) -> None:
    width = 10**digits
    bounds = find_bounds(first, first + width, buckets)
    assert len(bounds) - 1 >= min(width, buckets // 4)


@pytest.mark.parametrize(
    ("first", "end", "buckets", "expected"),
    [
        ("2026-01-31T12:00:07", "2026-01-31T12:59:58", 60, ["2026-01-31T12:00:00+00:00", "2026-01-31T12:01:00+00:00"]),
        ("2026-01-31T12:00:07", "2026-02-01T12:00:07", 60, ["2026-01-31T12:00:00+00:00", "2026-01-31T12:30:00+00:00"]),
        # From Monday to Monday.
        ("2026-01-31T12:00:07", "2026-12-31T00:00:00", 60, ["2026-01-26T00:00:00+00:00", "2026-02-02T00:00:00+00:00"]),
        ("2020-01-31T12:00:07", "2024-02-01T00:00:00", 60, ["2020-01-01T00:00:00+00:00", "2020-02-01T00:00:00+00:00"]),
        ("1970-01-31T12:00:07", "2026-02-01T00:00:00", 60, ["1970-01-01T00:00:00+00:00", "1971-01-01T00:00:00+00:00"]),
        ("0001-01-01T00:00:00", "9999-12-31T00:00:00", 60, ["0001-01-01T00:00:00+00:00", "0200-01-01T00:00:00+00:00"]),
    ],
)
def test_bounds_are_round_times(first: str, end: str, buckets: int, expected: list[str]) -> None:
    assert times(find_bounds(at(first), at(end), buckets))[:2] == expected


def test_no_bucket_is_shorter_than_a_microsecond() -> None:
    first = at("2026-01-31T12:00:00")
    assert find_bounds(first, first + 5, 120) == [*range(first, first + 6)]
    assert to_time(first + 1) - to_time(first) == timedelta(microseconds=1)
