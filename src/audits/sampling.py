"""Estimates of how many records match, from short reads of indexes and samples of records.

A **driver** is one filter whose index has its records in the order of time; without a filter it is the index of times.
Time is cut into **slices**, and in each the driver's entries are counted up to a limit: most slices are exact then, and
how far the entries of another reach tells how many there are. If other filters remain, a few records of each slice tell
what share of the entries matches. So the work has a bound that depends neither on the table nor on the filters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    column,
    extract,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.selectable import TableValuedAlias

from src.audits import filters
from src.audits.aggregate_schemas import MAX_FACETS
from src.audits.buckets import to_time
from src.audits.models import audit
from src.bounded_reads import BoundedReads
from src.statement import Statement

# The filters that can be a driver, those first that usually find least.
_DRIVERS = (
    "event_id",
    "correlation_id",
    "entity_id",
    "actor_id",
    "source",
    "action",
    "entity_type",
    "status",
    "actor_type",
)
_MAX_VALUES = 16
_MAX_CACHED_STATEMENTS = 512
# Index entries that are read at most, in each of two passes.
_MAX_ENTRIES = 480_000
# A slice with so many times as many entries as others is counted further.
_OUTLIER = 4
_TIME = DateTime(timezone=True)


@dataclass(frozen=True)
class Driver:
    """`column` is None where the index of times is read.

    `own` are the names of the driver's parameters, and `rest` those of the other filters; neither has the times.
    """

    column: str | None
    values: Sequence[str | None]
    rest: tuple[str, ...]
    own: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Times are microseconds since 1970, and `bucket` is the number of the bucket that the slice is a part of."""

    bucket: int
    begin: int
    end: int
    value: str | None
    entries: float = 0
    is_exact: bool = False
    # How far the entries reach that were counted.
    reach: int = 0

    @property
    def is_open(self) -> bool:
        """Whether there are more entries than were counted."""
        return self.reach > 0


def microseconds(time: ColumnElement[Any]) -> ColumnElement[Decimal]:
    """The time as a whole number, which may not fit into 64 bits: PostgreSQL has times of the year 294276."""
    return func.trunc(extract("epoch", time) * literal_column("1000000"), type_=Numeric)


def choose_driver(wanted: Mapping[str, Any]) -> Driver:
    """The driver for the filters with these parameters."""
    rest = tuple(name for name in wanted if name not in ("occurred_from", "occurred_to"))
    for name in _DRIVERS:
        own = {each: wanted[each] for each in rest if each == name or each.startswith(f"{name}_")}
        values = own.get(f"{name}_any") or [*own.values()]
        # A prefix has its entries in the order of names.
        has_prefix = any(each.startswith(f"{name}_from_") for each in own)
        if own and not has_prefix and len(values) <= _MAX_VALUES:
            others = tuple(each for each in rest if each not in own)
            return Driver(name, tuple(dict.fromkeys(values)), others, tuple(own))
    return Driver(None, (None,), rest)


def cut(bounds: Sequence[int], slices: int, driver: Driver) -> list[Slice]:
    """About so many slices, all buckets in parts of the same number."""
    parts = max(1, slices // ((len(bounds) - 1) * len(driver.values)))
    return [
        Slice(bucket, begin, end, value)
        for bucket, (first, last) in enumerate(pairwise(bounds))
        for begin, end in _parts(first, last, parts)
        for value in driver.values
    ]


def _parts(first: int, last: int, parts: int) -> Iterator[tuple[int, int]]:
    parts = min(parts, last - first)
    cuts = [first + (last - first) * number // parts for number in range(parts + 1)]
    yield from pairwise(cuts)


async def count_entries(
    reads: BoundedReads, driver: Driver, slices: Sequence[Slice], limit: int, seconds: float
) -> list[Slice] | None:
    """Count the driver's entries in each slice; None if it takes longer than these seconds."""
    counted = await _count_to(reads, driver, slices, limit, seconds / 2)
    if counted is None:
        return None
    outliers = _find_outliers(counted, limit)
    if not outliers:
        return [_estimate(each) for each in counted]
    again = await _count_to(reads, driver, [counted[each] for each in outliers], _MAX_ENTRIES // len(outliers), seconds)
    for number, further in zip(outliers, again or (), strict=False):
        counted[number] = further
    densities = [_estimate(each).entries / (each.end - each.begin) for each in counted]
    usual = median(densities)
    return [_estimate(each, usual if number in outliers else None) for number, each in enumerate(counted)]


def _find_outliers(counted: Sequence[Slice], limit: int) -> set[int]:
    """The slices that are to be counted further: few, or far from the others."""
    estimates = {number: _estimate(each).entries for number, each in enumerate(counted) if each.is_open}
    if not estimates:
        return set()
    most = max(1, _MAX_ENTRIES // (8 * limit))
    usual = median(_estimate(each).entries for each in counted)
    found = sorted(estimates, key=lambda number: estimates[number], reverse=True)
    if len(found) > most:
        found = [number for number in found if estimates[number] > _OUTLIER * usual][:most]
    return set(found)


def _estimate(each: Slice, usual_density: float | None = None) -> Slice:
    """The slice with all its entries: those that were counted reach so far, and the rest is as dense.

    Without enough of them to say that, the rest is as dense as other slices are.
    """
    width = each.end - each.begin
    if not each.is_open:
        return replace(each, is_exact=True)
    density = (each.entries - 1) / each.reach
    if usual_density is not None and each.reach < width / 10:
        density = usual_density
    return replace(each, entries=each.entries + density * (width - each.reach))


async def _count_to(
    reads: BoundedReads, driver: Driver, slices: Sequence[Slice], limit: int, seconds: float
) -> list[Slice] | None:
    rows = await reads.try_fetch(_count_statement(driver.column), seconds, limit=limit, **_arguments(driver, slices))
    if rows is None:
        return None
    found = {number - 1: (entries, int(last)) for number, entries, last in rows}
    counted = []
    for number, each in enumerate(slices):
        entries, last = found.get(number, (0, 0))
        reach = last - each.begin + 1 if entries >= limit else 0
        counted.append(replace(each, entries=entries, reach=reach))
    return counted


def _arguments(driver: Driver, slices: Sequence[Slice]) -> dict[str, Any]:
    times = {
        "begins": [to_time(each.begin) for each in slices],
        "ends": [to_time(each.end) for each in slices],
    }
    return times if driver.column is None else times | {"values": [each.value for each in slices]}


def _slices(driver_column: str | None, **more: Any) -> TableValuedAlias:
    """The parameters as rows, with their `number` from 1."""
    types = {"begin": _TIME, "end": _TIME} | ({"value": Text()} if driver_column else {}) | more
    arrays = [bindparam(f"{name}s", type_=ARRAY(kind)) for name, kind in types.items()]
    columns = [column(name, kind) for name, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns, with_ordinality="number", name="slice").render_derived()


def _entries(driver_column: str | None, slices: TableValuedAlias, *columns: ColumnElement[Any]) -> Select[Any]:
    """The first entries of each slice, so many as `limit` says."""
    predicates = [audit.c.occurred_at >= slices.c.begin, audit.c.occurred_at < slices.c.end]
    if driver_column:
        predicates.append(audit.c[driver_column] == slices.c.value)
    return (
        select(*columns)
        .where(*predicates)
        .order_by(audit.c.occurred_at)
        .limit(bindparam("limit", type_=Integer))
        .correlate(slices)
    )


@lru_cache
def _count_statement(driver_column: str | None) -> Statement:
    slices = _slices(driver_column)
    entries = _entries(driver_column, slices, audit.c.occurred_at).subquery()
    counted = select(func.count().label("entries"), func.max(entries.c.occurred_at).label("last")).select_from(entries)
    each = counted.correlate(slices).lateral("counted")
    return Statement(
        select(slices.c.number, each.c.entries, microseconds(each.c.last))
        .select_from(slices.join(each, true()))
        .where(each.c.entries > literal_column("0"))
    )


async def count_matches(
    reads: BoundedReads, driver: Driver, slices: Sequence[Slice], wanted: Mapping[str, Any], limit: int, seconds: float
) -> list[Slice] | None:
    """The slices with how many of their entries match the other filters too; None if that takes longer.

    The first records of each slice, so many as `limit` says, are looked at.
    """
    filled = [each for each in slices if each.entries]
    statement = _share_statement(driver.column, driver.rest)
    rest = {name: wanted[name] for name in driver.rest}
    rows = await reads.try_fetch(statement, seconds, limit=limit, **rest, **_arguments(driver, filled))
    if rows is None:
        return None
    shares = {number - 1: matching / looked_at for number, looked_at, matching in rows}
    return [
        replace(each, entries=each.entries * shares.get(number, 0), is_exact=each.is_exact and each.entries <= limit)
        for number, each in enumerate(filled)
    ]


@lru_cache(_MAX_CACHED_STATEMENTS)
def _share_statement(driver_column: str | None, rest: tuple[str, ...]) -> Statement:
    slices = _slices(driver_column)
    matches = and_(true(), *filters.predicates(rest)).label("matches")
    entries = _entries(driver_column, slices, matches).lateral("entries")
    return Statement(
        select(slices.c.number, func.count(), func.count().filter(entries.c.matches))
        .select_from(slices.join(entries, true()))
        .group_by(slices.c.number)
    )


async def weigh_values(
    reads: BoundedReads, driver: Driver, slices: Sequence[Slice], wanted: Mapping[str, Any], field: str, limit: int
) -> list[asyncpg.Record] | None:
    """The values of a field among the records that match, the commonest first. None if it takes too long.

    Of each value: itself, an estimate of how many records have it, and how many records were looked at in all: the
    first ones of each slice, so many as `limit` says.
    """
    slices = [each for each in slices if each.entries]
    statement = _values_statement(driver.column, driver.rest, field)
    rest = {name: wanted[name] for name in driver.rest}
    weights = [float(each.entries) for each in slices]
    return await reads.try_fetch(
        statement, reads.seconds_left, limit=limit, weights=weights, **rest, **_arguments(driver, slices)
    )


@lru_cache(_MAX_CACHED_STATEMENTS)
def _values_statement(driver_column: str | None, rest: tuple[str, ...], field: str) -> Statement:
    slices = _slices(driver_column, weight=Float(53))
    matches = and_(true(), *filters.predicates(rest)).label("matches")
    first = _entries(driver_column, slices, matches, audit.c[field].label("value")).subquery()
    looked_at = func.count().over().label("looked_at")
    entries = select(first, looked_at).correlate(slices).lateral("entries")
    weight = func.sum(slices.c.weight / entries.c.looked_at).filter(entries.c.matches).label("weight")
    grouped = (
        select(entries.c.value, weight, func.sum(func.count()).over().label("sampled"))
        .select_from(slices.join(entries, true()))
        .group_by(entries.c.value)
        .subquery()
    )
    return Statement(
        select(grouped.c.value, grouped.c.weight, cast(grouped.c.sampled, Integer))
        .where(grouped.c.weight.is_not(None))
        .order_by(grouped.c.weight.desc(), grouped.c.value)
        .limit(literal_column(str(MAX_FACETS)))
    )
