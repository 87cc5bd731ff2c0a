"""Estimates of how many records match, from parts of an index and a sample of records.

A **driver** is one filter, whose index has its records in the order of time; without a filter it is the index of times.
In **windows**, which are spread over the time in question, all entries of the driver's index are counted: everywhere
if there are few, else in a share of the time. If other filters remain, the records in some windows are looked at, which
tells what share of the entries matches. So the work has a bound that depends neither on the table nor on the filters.

Nothing is concluded from how close together the first entries of a window are: trails have bursts, and those of full
hours begin where windows do (tests/benchmarks/README.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    text,
    true,
)

from src.audits import blocks, filters
from src.audits.aggregate_schemas import MAX_FACETS
from src.audits.buckets import EARLIEST, LATEST, to_time
from src.audits.models import audit
from src.bounded_reads import TOO_LONG, BoundedReads
from src.exceptions import DatabaseTimeout
from src.statement import Statement

# The filters that can be a driver, those first that usually find least.
_DRIVERS = (
    *("event_id", "correlation_id", "entity_id", "actor_id", "status", "source", "action", "entity_type", "actor_type"),
)
# Of so many it is found out which has the fewest entries.
_MAX_DRIVERS = 3
# A driver has at most so many values, each of which is a part of its index.
_MAX_VALUES = 16
_MAX_CACHED_STATEMENTS = 512
# Windows in the whole time: to find out roughly how many entries there are, or to estimate how many each bucket has.
_FEW_WINDOWS, _MANY_WINDOWS = 480, 2_880
_SMALL_SHARE = 1 / 256
# So many entries are counted to the last one, which takes some 0.1 s per million; of more, so many.
_MAX_COUNTED, _COUNTED = 1_200_000, 500_000
# So many entries more can be counted in the time in which it is found out roughly how many there are.
_COUNTED_MEANWHILE = 100_000
# To scale a sample it need not be as exact.
_MAX_COUNTED_TO_SCALE = 300_000
# And so many where all that takes too long.
_FEW = 50_000
# Fewer tell nothing of a bucket.
_LEAST_COUNTED = 2_000
# How many records are looked at, at most.
_LOOKED_AT = 25_000
# A sample of the table is as good where so many of its records match.
_ENOUGH = 4_000

Counts = list[tuple[float, bool]]
"""How many records each bucket has, and whether that is exact."""


@dataclass(frozen=True)
class Driver:
    """`column` is None where the index of times is read.

    `own` are the names of the driver's parameters, and `rest` those of the other filters; neither has the times.
    """

    column: str | None
    values: Sequence[str]
    own: tuple[str, ...]
    rest: tuple[str, ...]


async def find_drivers(reads: BoundedReads, wanted: Mapping[str, Any]) -> list[Driver]:
    """The filters of these parameters that can be the driver; the index of times if none can."""
    names = tuple(name for name in wanted if name not in ("occurred_from", "occurred_to"))
    found = []
    for name in _DRIVERS:
        own = tuple(each for each in names if each == name or each.startswith(f"{name}_"))
        values = await _values(reads, name, {each: wanted[each] for each in own})
        if 0 < len(values) <= _MAX_VALUES:
            found.append(Driver(name, values, own, tuple(each for each in names if each not in own)))
    return found[:_MAX_DRIVERS] or [Driver(None, (), (), names)]


async def _choose_driver(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float
) -> tuple[Driver, list[float] | None]:
    """The driver with the fewest entries, and roughly how many it has in each bucket, unless that takes too long."""
    drivers = await find_drivers(reads, wanted)
    rough = [
        await _count(reads, driver, bounds, _FEW_WINDOWS, _SMALL_SHARE, seconds / len(drivers)) for driver in drivers
    ]
    best = min(range(len(drivers)), key=lambda number: _total(rough[number]))
    return drivers[best], rough[best]


async def _values(reads: BoundedReads, name: str, parameters: Mapping[str, Any]) -> list[str]:
    """The values of a filter. A prefix has those that begin so, since its index has names before times."""
    values: dict[str, None] = {}
    for parameter, value in parameters.items():
        if "_from_" in parameter:
            end = parameters.get(parameter.replace("_from_", "_to_"), "")
            values |= dict.fromkeys(await read_values(reads, name, value, end, _MAX_VALUES + 1))
        elif "_to_" not in parameter:
            values |= dict.fromkeys([value] if isinstance(value, str) else value)
    return [*values]


async def read_values(reads: BoundedReads, field: str, start: str, end: str, limit: int) -> list[str]:
    """The first values of a field from `start` on, and before `end` if it is not empty. Raises `DatabaseTimeout`."""
    parameters = {"start": start, "limit": limit} | ({"end": end} if end else {})
    return [value for (value,) in await reads.fetch(_values_statement(field, bool(end)), **parameters)]


@lru_cache
def _values_statement(field: str, has_end: bool) -> Statement:
    """Selects values by a loose index scan: https://wiki.postgresql.org/wiki/Loose_indexscan."""
    value = audit.c[field]
    ends = [value < bindparam("end", type_=Text)] if has_end else []

    def first(start: ColumnElement[bool]) -> Select[Any]:
        return select(value.label("value")).where(start, *ends).order_by(value).limit(literal_column("1"))

    found = first(value >= bindparam("start", type_=Text)).subquery()
    values = select(found.c.value).cte("found_values", recursive=True)
    following = first(value > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    listed = select(values.c.value).where(values.c.value.is_not(None))
    return Statement(listed.limit(bindparam("limit", type_=Integer)))


async def count(reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float) -> Counts:
    """How many records match in each bucket. It leaves other reads what is more than so many seconds.

    Raises `DatabaseTimeout`.
    """
    began, end = reads.seconds_left, reads.seconds_left - seconds
    driver, rough = await _choose_driver(reads, wanted, bounds, seconds / 4)
    total = _total(rough)
    # How long it takes to count all, where the first read says how fast the database is now.
    expected = (began - reads.seconds_left) * (1 + total / _COUNTED_MEANWHILE)
    if total <= _MAX_COUNTED and not driver.rest and expected < reads.seconds_left - end:
        exact = await _count(reads, driver, bounds, 0, 1, (reads.seconds_left - end) * 2 / 3)
        if exact is not None:
            return [(entries, True) for entries in exact]
    if total > _LOOKED_AT * 2 or not driver.rest:
        found = await _count_in_blocks(reads, wanted, bounds, (reads.seconds_left - end) * 2 / 3)
        if found:
            return found
    most = _MAX_COUNTED if driver.rest else 0
    counts = await _count_entries(reads, driver, bounds, rough, most, (reads.seconds_left - end) * 2 / 3)
    return await _count_matches(reads, driver, wanted, bounds, counts) if driver.rest else counts


def _total(rough: list[float] | None) -> float:
    return math.inf if rough is None else max(1.0, sum(rough, 0.0))


async def _count_in_blocks(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], seconds: float
) -> Counts | None:
    """The same by a sample of the table; None if it has too few that match, or takes too long."""
    rows = await blocks.count_buckets(reads, wanted, [to_time(bound) for bound in bounds[:-1]], seconds)
    if not rows or (rows[0][2] > 1 and sum(number for _, number, _ in rows) < _ENOUGH):
        return None
    scale: float = rows[0][2]
    counts: Counts = [(0, scale == 1)] * (len(bounds) - 1)
    for bucket, number, _ in rows:
        counts[bucket - 1] = number * scale, scale == 1
    return counts


async def _count_matches(
    reads: BoundedReads, driver: Driver, wanted: Mapping[str, Any], bounds: Sequence[int], counts: Counts
) -> Counts:
    """Of the driver's entries in each bucket, how many match the other filters too. Raises `DatabaseTimeout`."""
    share = min(1.0, _LOOKED_AT / max(1, sum(entries for entries, _ in counts)))
    statement = _matches_statement(driver.column, driver.rest)
    rows, is_whole = await _fetch(reads, statement, driver, wanted, bounds, share)
    found = {bucket - 1: (looked_at, matching) for bucket, looked_at, matching in rows}
    matching: Counts = []
    for bucket, (entries, is_exact) in enumerate(counts):
        seen, those = found.get(bucket, (0, 0))
        # Where nothing was looked at there is next to nothing.
        matching.append((entries * those / seen if seen else 0, is_exact and is_whole))
    return matching


async def _count_entries(
    reads: BoundedReads, driver: Driver, bounds: Sequence[int], rough: list[float] | None, most: int, seconds: float
) -> Counts:
    """How many entries of the driver's index each bucket has: all are counted if there are at `most` so many.

    Raises `DatabaseTimeout`.
    """
    total, end = _total(rough), reads.seconds_left - seconds
    if total <= most:
        exact = await _count(reads, driver, bounds, 0, 1, seconds * 2 / 3)
        if exact is not None:
            return [(entries, True) for entries in exact]
    for number in (_COUNTED, _FEW) if total > max(most, _COUNTED) else (_FEW,):
        # Where nobody knows how many there are, as little as can be.
        share = min(1.0, number / total) or _SMALL_SHARE / 16
        counted = await _count(reads, driver, bounds, _MANY_WINDOWS, share, (reads.seconds_left - end) * 2 / 3)
        if counted and sum(counted):
            return [(entries, False) for entries in counted]
    if rough and sum(rough) * _SMALL_SHARE >= _LEAST_COUNTED:
        return [(entries, False) for entries in rough]
    raise DatabaseTimeout(TOO_LONG)


async def _count(
    reads: BoundedReads, driver: Driver, bounds: Sequence[int], windows: int, share: float, seconds: float
) -> list[float] | None:
    """Count the entries in so many windows, which together are this share of the time; None if it takes too long."""
    arguments = _arguments(driver, bounds, windows, share)
    rows = await reads.try_fetch(_count_statement(driver.column), seconds, by_index=True, **arguments)
    if rows is None:
        return None
    counts = [0.0] * (len(bounds) - 1)
    for bucket, entries, most in rows:
        counts[bucket - 1] = _scale(int(entries), most, share)
    return counts


def _scale(entries: int, most: int, share: float) -> float:
    """The entries of a bucket, of which so many are in the fullest window.

    If that one alone would make most of the bucket, it holds what happens once, such as an import, and counts once.
    """
    others = entries - most
    return others / share + (most if most > others else most / share)


def _arguments(driver: Driver, bounds: Sequence[int], windows: int, share: float) -> dict[str, Any]:
    # asyncpg makes infinities of the first and the last time that it knows.
    times = [to_time(min(max(bound, EARLIEST + 1), LATEST - 1)) for bound in bounds]
    parts = max(1, windows // ((len(bounds) - 1) * max(1, len(driver.values))))
    values = {"values": driver.values} if driver.column else {}
    return {"begins": times[:-1], "ends": times[1:], "parts": parts, "share": share} | values


# Each bucket has `parts`, and each of these one window, which is a `share` of it. Their places are spread like random
# ones, so that they are not all at the same time of the hour or the day.
_WINDOWS = """
    SELECT bucket, begin + width * ((part + place * (1 - share)) / parts) AS begin,
        begin + width * ((part + place * (1 - share) + share) / parts) AS finish
    FROM (SELECT CAST(:parts AS int) AS parts, CAST(:share AS float) AS share) AS given
    CROSS JOIN unnest(CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[])) WITH ORDINALITY
        AS buckets (begin, finish, bucket)
    CROSS JOIN LATERAL (SELECT buckets.finish - begin AS width) AS of_bucket
    CROSS JOIN generate_series(0, parts - 1) AS part
    CROSS JOIN LATERAL (
        SELECT (part * 0.6180339887 + bucket * 0.7548776662) - floor(part * 0.6180339887 + bucket * 0.7548776662)
    ) AS places (place)
"""


def _windows(driver_column: str | None) -> FromClause:
    time = DateTime(timezone=True)
    columns = (column("bucket", Integer), column("begin", time), column("finish", time))
    windows = text(_WINDOWS).columns(*columns).subquery("windows")
    if driver_column is None:
        return windows
    values = func.unnest(bindparam("values", type_=ARRAY(Text))).table_valued("value", name="driver").render_derived()
    return select(windows, values.c.value).select_from(windows.join(values, true())).subquery("windows_of_values")


def _entries(driver_column: str | None, windows: FromClause, *columns: ColumnElement[Any]) -> FromClause:
    """What is selected of the records in each window."""
    predicates = [audit.c.occurred_at >= windows.c.begin, audit.c.occurred_at < windows.c.finish]
    if driver_column:
        predicates.append(audit.c[driver_column] == windows.c.value)
    entries = select(*columns).where(*predicates).correlate(windows)
    # So that PostgreSQL reads each window alone.
    return entries.offset(literal_column("0")).lateral("entries")


@lru_cache
def _count_statement(driver_column: str | None) -> Statement:
    """Selects for each bucket how many entries its windows have, and how many the fullest one has."""
    windows = _windows(driver_column)
    entries = _entries(driver_column, windows, func.count().label("number"))
    number = entries.c.number
    joined = windows.join(entries, true())
    return Statement(
        select(windows.c.bucket, func.sum(number), func.max(number)).select_from(joined).group_by(windows.c.bucket)
    )


async def _fetch(
    reads: BoundedReads,
    statement: Statement,
    driver: Driver,
    wanted: Mapping[str, Any],
    bounds: Sequence[int],
    share: float,
) -> tuple[list[asyncpg.Record], bool]:
    """Run a statement that looks at records, and say whether it has looked at all. Raises `DatabaseTimeout`."""
    rest = {name: wanted[name] for name in driver.rest}
    for part in (share, share / 16):
        arguments = rest | _arguments(driver, bounds, _FEW_WINDOWS, part)
        rows = await reads.try_fetch(statement, reads.seconds_left / 2, by_index=True, **arguments)
        if rows is not None:
            return rows, part == 1
    raise DatabaseTimeout(TOO_LONG)


@lru_cache(_MAX_CACHED_STATEMENTS)
def _matches_statement(driver_column: str | None, rest: tuple[str, ...]) -> Statement:
    """Selects for each bucket how many records are in its windows, and how many of these match the other filters."""
    windows = _windows(driver_column)
    is_match = and_(true(), *filters.predicates(rest))
    entries = _entries(
        driver_column, windows, func.count().label("looked_at"), func.count().filter(is_match).label("matching")
    )
    sums = (cast(func.sum(each), Integer) for each in (entries.c.looked_at, entries.c.matching))
    joined = windows.join(entries, true())
    return Statement(select(windows.c.bucket, *sums).select_from(joined).group_by(windows.c.bucket))


async def find_commonest(
    reads: BoundedReads, wanted: Mapping[str, Any], span: tuple[int, int], field: str
) -> tuple[list[tuple[str, float]], int, bool]:
    """The commonest values of a field within a time, and how many matching records have each.

    Also how many matching records were counted, and whether these are all. Raises `DatabaseTimeout`.
    """
    rows = await blocks.find_commonest(reads, wanted, field, reads.seconds_left / 2)
    if rows and (rows[0][3] == 1 or rows[0][2] >= _ENOUGH):
        return [(value, number * scale) for value, number, _, scale in rows], rows[0][2], rows[0][3] == 1
    driver, rough = await _choose_driver(reads, wanted, span, reads.seconds_left / 4)
    ((entries, is_exact),) = await _count_entries(
        reads, driver, span, rough, _MAX_COUNTED_TO_SCALE, reads.seconds_left / 2
    )
    share = min(1.0, _LOOKED_AT / max(1, entries))
    statement = _commonest_statement(driver.column, driver.rest, field)
    found, is_whole = await _fetch(reads, statement, driver, wanted, span, share)
    counted = found[0][2] if found else 0
    scaled = [(value, entries * number / looked_at) for value, number, _, looked_at in found]
    return scaled, counted, is_exact and is_whole


@lru_cache(_MAX_CACHED_STATEMENTS)
def _commonest_statement(driver_column: str | None, rest: tuple[str, ...], field: str) -> Statement:
    """Selects the commonest values of the records in windows that match, and how many have each.

    Also how many match in all, and how many there are, whether they match or not.
    """
    windows = _windows(driver_column)
    is_match = and_(true(), *filters.predicates(rest)).label("is_match")
    entries = _entries(driver_column, windows, audit.c[field].label("value"), is_match)
    matching = func.count().filter(entries.c.is_match).label("matching")
    sums = [cast(func.sum(each).over(), Integer) for each in (func.count().filter(entries.c.is_match), func.count())]
    grouped = (
        select(entries.c.value, matching, sums[0].label("counted"), sums[1].label("looked_at"))
        .select_from(windows.join(entries, true()))
        .group_by(entries.c.value)
        .subquery()
    )
    return Statement(
        select(*grouped.c)
        .where(grouped.c.matching > literal_column("0"))
        .order_by(grouped.c.matching.desc(), grouped.c.value)
        .limit(literal_column(str(MAX_FACETS)))
    )
