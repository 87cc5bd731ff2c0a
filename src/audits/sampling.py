"""Estimates of how many records match, from parts of an index and a sample of records.

The **driving filter** is the one whose index is read. The index has its records in the order of time; without a filter
it is the index of times. In **windows**, which are spread over the time in question, all entries of this index are
counted: everywhere if there are few, else in a share of the time. If other filters remain, the records in some windows
are looked at, which tells what share of the entries matches. So the work has a bound that depends neither on the table
nor on the filters.

Nothing is concluded from how close together the first entries of a window are: trails have bursts, and those of full
hours begin where windows do (tests/benchmarks/README.md).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from src.audits import blocks, windows
from src.audits.buckets import to_time
from src.audits.driving_filters import DrivingFilter, find_driving_filters
from src.bounded_reads import TOO_LONG, BoundedReads
from src.exceptions import DatabaseTimeout

# The share of the time whose entries are counted first: it says roughly how many entries there are.
_FIRST_SHARE = 1 / 256
# Up to this number all entries of an index are counted, which takes some 0.1 s per million.
_MAX_COUNTED = 1_200_000
# The same where the number only scales a sample, and so need not be as exact.
_MAX_COUNTED_TO_SCALE = 300_000
# How many entries are counted of a larger number; and how many if that takes too long.
_COUNTED, _COUNTED_IF_SLOW = 500_000, 50_000
# How many entries can be counted in the time that the first count takes.
_COUNTED_MEANWHILE = 100_000
# If the first count has at least this number, its result is better than no answer.
_MIN_FIRST_COUNT = 2_000
# How many records are looked at, at most.
_LOOKED_AT = 25_000
# A sample of the table is taken as the answer if this number of its records match, or if it is the whole table.
_MIN_SAMPLED_MATCHES = 4_000

Counts = list[tuple[float, bool]]
"""How many records each bucket has, and whether that is exact."""


async def _choose_driving_filter(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float
) -> tuple[DrivingFilter, list[float] | None]:
    """The driving filter with the fewest entries, and roughly how many it has in each bucket; None if nobody knows."""
    candidates = await find_driving_filters(reads, wanted)
    rough = [
        await windows.count(reads, driving, bounds, windows.FEW, _FIRST_SHARE, seconds / len(candidates))
        for driving in candidates
    ]
    best = min(range(len(candidates)), key=lambda number: _total(rough[number]))
    return candidates[best], rough[best]


async def count(reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float) -> Counts:
    """How many records match in each bucket. It takes at most `seconds`, and leaves the rest to other reads.

    Raises `DatabaseTimeout`.
    """
    at_start, reserved = reads.seconds_left, reads.seconds_left - seconds
    driving, rough = await _choose_driving_filter(reads, wanted, bounds, seconds / 4)
    total = _total(rough)
    # How long it takes to count all, where the first read says how fast the database is now.
    expected = (at_start - reads.seconds_left) * (1 + total / _COUNTED_MEANWHILE)
    if total <= _MAX_COUNTED and not driving.rest and expected < reads.seconds_left - reserved:
        exact = await windows.count(reads, driving, bounds, 0, 1, (reads.seconds_left - reserved) * 2 / 3)
        if exact is not None:
            return [(entries, True) for entries in exact]
    if total > _LOOKED_AT * 2 or not driving.rest:
        found = await _count_in_blocks(reads, wanted, bounds, (reads.seconds_left - reserved) * 2 / 3)
        if found:
            return found
    most = _MAX_COUNTED if driving.rest else 0
    counts = await _count_entries(reads, driving, bounds, rough, most, (reads.seconds_left - reserved) * 2 / 3)
    return await _count_matches(reads, driving, wanted, bounds, counts) if driving.rest else counts


def _total(rough: list[float] | None) -> float:
    return math.inf if rough is None else max(1.0, sum(rough, 0.0))


async def _count_in_blocks(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float
) -> Counts | None:
    """The same by a sample of the table; None if it has too few that match, or takes too long."""
    rows = await blocks.count_buckets(reads, wanted, [to_time(bound) for bound in bounds[:-1]], seconds)
    if not rows or (rows[0][2] > 1 and sum(number for _, number, _ in rows) < _MIN_SAMPLED_MATCHES):
        return None
    scale: float = rows[0][2]
    counts: Counts = [(0, scale == 1)] * (len(bounds) - 1)
    for bucket, number, _ in rows:
        counts[bucket - 1] = number * scale, scale == 1
    return counts


async def _count_matches(
    reads: BoundedReads, driving: DrivingFilter, wanted: Mapping[str, Any], bounds: Sequence[int], counts: Counts
) -> Counts:
    """How many of the entries in each bucket match the other filters too. Raises `DatabaseTimeout`."""
    share = min(1.0, _LOOKED_AT / max(1, sum(entries for entries, _ in counts)))
    statement = windows.matches_statement(driving.column, driving.rest)
    rows, is_whole = await windows.fetch_sample(reads, statement, driving, wanted, bounds, share)
    found = {bucket - 1: (looked_at, matching) for bucket, looked_at, matching in rows}
    matching: Counts = []
    for bucket, (entries, is_exact) in enumerate(counts):
        seen, those = found.get(bucket, (0, 0))
        # No window had a record of this bucket, so it has next to none.
        matching.append((entries * those / seen if seen else 0, is_exact and is_whole))
    return matching


async def _count_entries(
    reads: BoundedReads,
    driving: DrivingFilter,
    bounds: Sequence[int],
    rough: list[float] | None,
    most: int,
    seconds: float,
) -> Counts:
    """How many entries of the driving filter's index each bucket has. All are counted if there are `most` or fewer.

    Raises `DatabaseTimeout`.
    """
    total, reserved = _total(rough), reads.seconds_left - seconds
    if total <= most:
        exact = await windows.count(reads, driving, bounds, 0, 1, seconds * 2 / 3)
        if exact is not None:
            return [(entries, True) for entries in exact]
    for number in (_COUNTED, _COUNTED_IF_SLOW) if total > max(most, _COUNTED) else (_COUNTED_IF_SLOW,):
        # Where nobody knows how many there are, as little as can be.
        share = min(1.0, number / total) or _FIRST_SHARE / 16
        counted = await windows.count(
            reads, driving, bounds, windows.MANY, share, (reads.seconds_left - reserved) * 2 / 3
        )
        if counted and sum(counted):
            return [(entries, False) for entries in counted]
    if rough and sum(rough) * _FIRST_SHARE >= _MIN_FIRST_COUNT:
        return [(entries, False) for entries in rough]
    raise DatabaseTimeout(TOO_LONG)


async def find_commonest(
    reads: BoundedReads, wanted: Mapping[str, Any], span: tuple[int, int], field: str
) -> tuple[list[tuple[str, float]], int, bool]:
    """The commonest values of a field within a time, and how many matching records have each.

    Also how many matching records were counted, and whether these are all. Raises `DatabaseTimeout`.
    """
    rows = await blocks.find_commonest(reads, wanted, field, reads.seconds_left / 2)
    if rows and (rows[0][3] == 1 or rows[0][2] >= _MIN_SAMPLED_MATCHES):
        return [(value, number * scale) for value, number, _, scale in rows], rows[0][2], rows[0][3] == 1
    driving, rough = await _choose_driving_filter(reads, wanted, span, reads.seconds_left / 4)
    ((entries, is_exact),) = await _count_entries(
        reads, driving, span, rough, _MAX_COUNTED_TO_SCALE, reads.seconds_left / 2
    )
    share = min(1.0, _LOOKED_AT / max(1, entries))
    statement = windows.commonest_statement(driving.column, driving.rest, field)
    found, is_whole = await windows.fetch_sample(reads, statement, driving, wanted, span, share)
    counted = found[0][2] if found else 0
    scaled = [(value, entries * number / looked_at) for value, number, _, looked_at in found]
    return scaled, counted, is_exact and is_whole
