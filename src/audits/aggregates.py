"""Histogram, facets and suggestions: what matches a filter, summed up in bounded time.

Up to `COUNT_CAP` matching records all is exact, as the total of a list is. Beyond that, or where to find them takes too
long, it is estimated (`src/audits/sampling.py`).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)

from src.audits import filters, sampling
from src.audits.aggregate_schemas import (
    MAX_FACETS,
    MAX_SUGGESTIONS,
    AuditField,
    Facets,
    FacetsQuery,
    FacetValue,
    Histogram,
    HistogramQuery,
    Relation,
    Values,
    ValuesQuery,
)
from src.audits.buckets import find_bounds, to_microseconds, to_time
from src.audits.constants import AuditStatus
from src.audits.models import audit
from src.audits.sampling import Driver, Slice
from src.audits.schemas import AuditFilter
from src.bounded_reads import BoundedReads
from src.exceptions import DatabaseTimeout
from src.pagination import COUNT_CAP
from src.statement import Statement

_MAX_CACHED_STATEMENTS = 512
# How many slices, and how many entries of each are counted: first what is best, then what takes least.
_COUNTING = ((480, 1_000), (120, 20))
# How many records of each slice are looked at.
_LOOKED_AT = 40
# How many blocks of the table are read for facets without a filter.
_BLOCKS = 1_500
_TOO_LONG = "This is too much to look at in time. Narrow the filter, or try again shortly."

Counts = list[tuple[float, bool]]
"""How many records each bucket has, and whether that is exact."""


async def get_histogram(reads: BoundedReads, query: HistogramQuery) -> Histogram:
    """Raises `DatabaseTimeout`."""
    wanted = filters.parameters(query)
    found = await reads.try_fetch(
        _extent_statement(tuple(wanted)), reads.seconds_left / 3, **wanted, limit=COUNT_CAP + 1
    )
    is_exact = found is not None and found[0][0] <= COUNT_CAP
    first, last = _as_times(*found[0][1:]) if found and is_exact else await _find_extent(reads, query, wanted)
    bounds = _bounds(query, first, last)
    if not bounds:
        return Histogram.model_validate({"from": None, "to": None, "relation": "eq", "buckets": []})
    counts = failures = None
    if is_exact:
        counts, failures = await _count_exactly(reads, wanted, bounds)
    if counts is None or failures is None:
        counts = await _estimate(reads, wanted, bounds)
        failures = await _count_failures(reads, wanted, bounds, counts)
    return _histogram(bounds, counts, failures)


def _bounds(query: HistogramQuery, first: int | None, last: int | None) -> list[int]:
    """The bounds of the buckets: of the filter where it has them, else of what matches. None if nothing does."""
    begin = first if query.occurred_from is None else to_microseconds(query.occurred_from)
    end = (None if last is None else last + 1) if query.occurred_to is None else to_microseconds(query.occurred_to)
    if begin is None or end is None or begin >= end:
        return []
    bounds = find_bounds(begin, end, query.buckets)
    if query.occurred_from is not None:
        bounds[0] = begin
    if query.occurred_to is not None:
        bounds[-1] = end
    return bounds


def _histogram(bounds: Sequence[int], counts: Counts, failures: Counts) -> Histogram:
    times = [to_time(bound) for bound in bounds]
    buckets = [
        {
            "from": begin,
            "to": end,
            "count": round(count),
            "failures": min(round(failed), round(count)),
            "relation": "eq" if is_exact and failed_is_exact else "approx",
        }
        for begin, end, (count, is_exact), (failed, failed_is_exact) in zip(
            times, times[1:], counts, failures, strict=False
        )
    ]
    relation = "approx" if any(each["relation"] == "approx" for each in buckets) else "eq"
    return Histogram.model_validate({"from": times[0], "to": times[-1], "relation": relation, "buckets": buckets})


def _as_times(first: Decimal | None, last: Decimal | None) -> tuple[int | None, int | None]:
    return (None, None) if first is None or last is None else (int(first), int(last))


@lru_cache(_MAX_CACHED_STATEMENTS)
def _extent_statement(names: tuple[str, ...]) -> Statement:
    """Selects how many records match, up to a limit, and the first and the last time of these."""
    found = select(audit.c.occurred_at).where(*filters.predicates(names))
    limited = found.limit(bindparam("limit", type_=Integer)).subquery()
    time = limited.c.occurred_at
    return Statement(select(func.count(), *(sampling.microseconds(each) for each in (func.min(time), func.max(time)))))


@lru_cache(_MAX_CACHED_STATEMENTS)
def _whole_extent_statement(names: tuple[str, ...]) -> Statement:
    """Selects the first and the last time of all that match."""
    time = audit.c.occurred_at
    extent = (sampling.microseconds(each) for each in (func.min(time), func.max(time)))
    return Statement(select(*extent).where(*filters.predicates(names)))


async def _find_extent(
    reads: BoundedReads, query: AuditFilter, wanted: Mapping[str, Any]
) -> tuple[int | None, int | None]:
    """The first and the last time of what matches, or of what one of the filters finds."""
    if query.occurred_from is not None and query.occurred_to is not None:
        return None, None
    for names in (tuple(wanted), sampling.choose_driver(wanted).own, ()):
        values = {name: wanted[name] for name in names}
        rows = await reads.try_fetch(_whole_extent_statement(names), reads.seconds_left / 4, **values)
        if rows:
            return _as_times(*rows[0])
    raise DatabaseTimeout(_TOO_LONG)


@lru_cache(_MAX_CACHED_STATEMENTS)
def _buckets_statement(names: tuple[str, ...]) -> Statement:
    """Selects each bucket that has records with how many it has, up to a limit of all, and with its failures."""
    found = select(audit.c.occurred_at, audit.c.status).where(*filters.predicates(names))
    limited = found.limit(bindparam("limit", type_=Integer)).subquery()
    starts = bindparam("starts", type_=ARRAY(DateTime(timezone=True)))
    bucket = func.width_bucket(limited.c.occurred_at, starts).label("bucket")
    failures = func.count().filter(limited.c.status == literal_column(f"'{AuditStatus.FAILURE}'"))
    return Statement(select(bucket, func.count(), failures).group_by(bucket))


async def _count_exactly(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int]
) -> tuple[Counts, Counts] | tuple[None, None]:
    """The counts and the failures of each bucket; None if there are too many to be exact, or if it takes too long."""
    starts = [to_time(bound) for bound in bounds[:-1]]
    rows = await reads.try_fetch(
        _buckets_statement(tuple(wanted)), reads.seconds_left / 2, **wanted, starts=starts, limit=COUNT_CAP + 1
    )
    if rows is None or sum(count for _, count, _ in rows) > COUNT_CAP:
        return None, None
    counts: Counts = [(0, True)] * len(starts)
    failures = [*counts]
    for bucket, count, failed in rows:
        # SQL can write times before the year 1.
        number = max(bucket, 1) - 1
        counts[number] = counts[number][0] + count, True
        failures[number] = failures[number][0] + failed, True
    return counts, failures


async def _count_failures(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int], counts: Counts
) -> Counts:
    statuses = wanted.get("status_any") or [wanted.get("status", AuditStatus.FAILURE)]
    if AuditStatus.FAILURE not in statuses:
        return [(0, True)] * len(counts)
    if wanted.get("status") == AuditStatus.FAILURE:
        return counts
    failed = {name: value for name, value in wanted.items() if name != "status_any"} | {"status": AuditStatus.FAILURE}
    exact, _ = await _count_exactly(reads, failed, bounds)
    return exact or await _estimate(reads, failed, bounds)


async def _estimate(reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int]) -> Counts:
    """Raises `DatabaseTimeout`."""
    driver = sampling.choose_driver(wanted)
    slices = await _count_entries(reads, driver, bounds)
    if driver.rest:
        matching = await sampling.count_matches(reads, driver, slices, wanted, _LOOKED_AT, reads.seconds_left)
        if matching is None:
            raise DatabaseTimeout(_TOO_LONG)
        slices = matching
    counts: Counts = [(0, True)] * (len(bounds) - 1)
    for each in slices:
        count, is_exact = counts[each.bucket]
        counts[each.bucket] = count + each.entries, is_exact and each.is_exact
    return counts


async def _count_entries(reads: BoundedReads, driver: Driver, bounds: Sequence[int]) -> list[Slice]:
    """Raises `DatabaseTimeout`."""
    for slices, limit in _COUNTING:
        cut = sampling.cut(bounds, slices, driver)
        if counted := await sampling.count_entries(reads, driver, cut, limit, reads.seconds_left / 2):
            return counted
    raise DatabaseTimeout(_TOO_LONG)


async def get_facets(reads: BoundedReads, query: FacetsQuery) -> Facets:
    """Raises `DatabaseTimeout`."""
    wanted = filters.parameters(query)
    statement = _facets_statement(tuple(wanted), query.field)
    rows = await reads.try_fetch(statement, reads.seconds_left / 3, **wanted, limit=COUNT_CAP + 1)
    if rows is not None and (not rows or rows[0][2] <= COUNT_CAP):
        return _facets(query.field, rows, "eq")
    if not wanted:
        rows = await reads.fetch(_blocks_statement(query.field))
        return _facets(query.field, rows, "eq" if rows and rows[0][3] else "approx")
    first, last = await _find_extent(reads, query, wanted)
    begin = first if query.occurred_from is None else to_microseconds(query.occurred_from)
    end = (None if last is None else last + 1) if query.occurred_to is None else to_microseconds(query.occurred_to)
    if begin is None or end is None or begin >= end:
        return _facets(query.field, [], "eq")
    driver = sampling.choose_driver(wanted)
    slices = await _count_entries(reads, driver, [begin, end])
    rows = await sampling.weigh_values(reads, driver, slices, wanted, query.field, _LOOKED_AT)
    if rows is None:
        raise DatabaseTimeout(_TOO_LONG)
    return _facets(query.field, rows, "approx")


def _facets(field: AuditField, rows: Sequence[asyncpg.Record], relation: Relation) -> Facets:
    values = [FacetValue(value=row[0], count=round(row[1])) for row in rows]
    return Facets(field=field, values=values, relation=relation, sampled=rows[0][2] if rows else 0)


@lru_cache(_MAX_CACHED_STATEMENTS)
def _facets_statement(names: tuple[str, ...], field: str) -> Statement:
    """Selects the commonest values, how many records have each, and how many records match, up to a limit."""
    found = select(audit.c[field].label("value")).where(*filters.predicates(names))
    limited = found.limit(bindparam("limit", type_=Integer)).subquery()
    return Statement(_commonest(limited.c.value, func.count().label("number")))


def _commonest(value: ColumnElement[str], number: ColumnElement[Any]) -> Select[Any]:
    looked_at = cast(func.sum(func.count()).over(), Integer)
    return (
        select(value, number, looked_at)
        .group_by(value)
        .order_by(number.desc(), value)
        .limit(literal_column(str(MAX_FACETS)))
    )


@lru_cache
def _blocks_statement(field: str) -> Statement:
    """The same of all records, from those in some blocks of the table; and whether these are all blocks.

    Records that were written one after the other are often alike, so all blocks have the same distance. Counts are
    scaled to all blocks.
    """
    return Statement(
        text(
            f"""
            SELECT value, count(*) * blocks::float / looked_at, (sum(count(*)) OVER ())::int, blocks = looked_at
            FROM (SELECT pg_relation_size('audit') / current_setting('block_size')::int AS blocks) AS size
            CROSS JOIN LATERAL (SELECT least(blocks, {_BLOCKS}) AS looked_at) AS sample
            CROSS JOIN generate_series(0, looked_at - 1) AS number
            CROSS JOIN LATERAL (
                SELECT {field} AS value FROM audit
                WHERE ctid >= format('(%s,0)', number * blocks / looked_at)::tid
                    AND ctid < format('(%s,0)', number * blocks / looked_at + 1)::tid
                OFFSET 0
            ) AS found
            GROUP BY value, blocks, looked_at ORDER BY 2 DESC, 1 LIMIT {MAX_FACETS}
            """
        )
    )


async def get_values(reads: BoundedReads, query: ValuesQuery) -> Values:
    """Raises `DatabaseTimeout`."""
    start, end = filters.prefix_range(query.prefix)
    parameters = {"start": start} | ({"end": end} if end else {})
    rows = await reads.fetch(_values_statement(query.field, bool(end)), **parameters)
    return Values(field=query.field, values=[value for (value,) in rows])


@lru_cache
def _values_statement(field: str, has_end: bool) -> Statement:
    """Selects the first values by a loose index scan: https://wiki.postgresql.org/wiki/Loose_indexscan."""
    value = audit.c[field]
    ends = [value < bindparam("end", type_=Text)] if has_end else []

    def first(start: ColumnElement[bool]) -> Select[Any]:
        return select(value.label("value")).where(start, *ends).order_by(value).limit(literal_column("1"))

    found = first(value >= bindparam("start", type_=Text)).subquery()
    values = select(found.c.value).cte("found_values", recursive=True)
    following = first(value > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    listed = select(values.c.value).where(values.c.value.is_not(None))
    return Statement(listed.limit(literal_column(str(MAX_SUGGESTIONS))))
