"""Histogram, facets and suggestions: what matches a filter, summed up in bounded time.

Up to `COUNT_CAP` matching records the answer is exact, as the total of a list is. Where more match, or where it takes
too long to find them, the answer is an estimate (`src/audits/sampling.py`).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Select,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    select,
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
from src.audits.driving_filters import find_driving_filters, read_values
from src.audits.models import audit
from src.audits.sampling import Counts
from src.audits.schemas import AuditFilter
from src.bounded_reads import TOO_LONG, BoundedReads
from src.exceptions import DatabaseTimeout
from src.pagination import COUNT_CAP
from src.statement import Statement, cached_statement

# The share of the remaining time for counting all records; the rest is for counting those that failed.
_SHARE_OF_COUNTS = 0.6


async def get_histogram(reads: BoundedReads, query: HistogramQuery) -> Histogram:
    """Count the records in each bucket of time; estimate them where many match. Raises `DatabaseTimeout`."""
    wanted = filters.parameters(query)
    found = await reads.try_fetch(
        _extent_statement(tuple(wanted)), reads.seconds_left / 3, **wanted, limit=COUNT_CAP + 1
    )
    is_exact = found is not None and found[0][0] <= COUNT_CAP
    first, last = _as_times(*found[0][1:]) if found and is_exact else await _find_extent(reads, query, wanted)
    bounds = _bounds(query, first, last)
    if not bounds:
        return Histogram.model_validate({"from": None, "to": None, "relation": "eq", "buckets": []})
    found_exactly = await _count_exactly(reads, wanted, bounds) if is_exact else None
    counts, failures = found_exactly or await _estimate(reads, wanted, bounds)
    return _histogram(bounds, counts, failures)


async def _estimate(reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int]) -> tuple[Counts, Counts]:
    """The counts and the failures of each bucket. Raises `DatabaseTimeout`."""
    failed = _failures_among(wanted)
    if failed == wanted:
        counts = await sampling.count(reads, wanted, bounds, reads.seconds_left)
        return counts, counts
    share = 1 if failed is None else _SHARE_OF_COUNTS
    counts = await sampling.count(reads, wanted, bounds, reads.seconds_left * share)
    if failed is None:
        return counts, [(0, True)] * len(counts)
    return counts, await sampling.count(reads, failed, bounds, reads.seconds_left)


def _bounds(query: HistogramQuery, first: int | None, last: int | None) -> list[int]:
    """The bounds of the buckets; none if nothing matches, unless the filter has both ends."""
    span = _span(query, first, last)
    return find_bounds(*span, query.buckets) if span else []


def _span(query: AuditFilter, first: int | None, last: int | None) -> tuple[int, int] | None:
    """Begin and end of the filter where it has them, else of what matches. None without any."""
    begin = first if query.occurred_from is None else to_microseconds(query.occurred_from)
    end = (None if last is None else last + 1) if query.occurred_to is None else to_microseconds(query.occurred_to)
    return None if begin is None or end is None or begin >= end else (begin, end)


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


def _microseconds(time: ColumnElement[Any]) -> ColumnElement[Decimal]:
    """The time as a whole number, which may not fit into 64 bits: PostgreSQL has times of the year 294276."""
    return func.trunc(extract("epoch", time) * literal_column("1000000"), type_=Numeric)


def _as_times(first: Decimal | None, last: Decimal | None) -> tuple[int | None, int | None]:
    return (None, None) if first is None or last is None else (int(first), int(last))


@cached_statement
def _extent_statement(names: tuple[str, ...]) -> Statement:
    """Selects how many records match, up to a limit, and the first and the last time of these."""
    found = select(audit.c.occurred_at).where(*filters.predicates(names))
    limited = found.limit(bindparam("limit", type_=Integer)).subquery()
    time = limited.c.occurred_at
    return Statement(select(func.count(), *(_microseconds(each) for each in (func.min(time), func.max(time)))))


@cached_statement
def _whole_extent_statement(names: tuple[str, ...]) -> Statement:
    """Selects the first and the last time of all that match."""
    time = audit.c.occurred_at
    extent = (_microseconds(each) for each in (func.min(time), func.max(time)))
    return Statement(select(*extent).where(*filters.predicates(names)))


async def _find_extent(
    reads: BoundedReads, query: AuditFilter, wanted: Mapping[str, Any]
) -> tuple[int | None, int | None]:
    """The first and the last time of what matches, or of what one of the filters finds."""
    if query.occurred_from is not None and query.occurred_to is not None:
        return None, None
    candidates = await find_driving_filters(reads, wanted)
    for names in (tuple(wanted), candidates[0].own, ()):
        values = {name: wanted[name] for name in names}
        rows = await reads.try_fetch(_whole_extent_statement(names), reads.seconds_left / 4, **values)
        if rows:
            return _as_times(*rows[0])
    raise DatabaseTimeout(TOO_LONG)


@cached_statement
def buckets_statement(names: tuple[str, ...]) -> Statement:
    """Selects each bucket that has records with how many it has, up to a limit of all, and with its failures."""
    found = select(audit.c.occurred_at, audit.c.status).where(*filters.predicates(names))
    limited = found.limit(bindparam("limit", type_=Integer)).subquery()
    starts = bindparam("starts", type_=ARRAY(DateTime(timezone=True)))
    bucket = func.width_bucket(limited.c.occurred_at, starts).label("bucket")
    failures = func.count().filter(limited.c.status == literal_column(f"'{AuditStatus.FAILURE}'"))
    return Statement(select(bucket, func.count(), failures).group_by(bucket))


async def _count_exactly(
    reads: BoundedReads, wanted: Mapping[str, Any], bounds: Sequence[int]
) -> tuple[Counts, Counts] | None:
    """The counts and the failures of each bucket; None if there are too many to be exact, or if it takes too long."""
    starts = [to_time(bound) for bound in bounds[:-1]]
    rows = await reads.try_fetch(
        buckets_statement(tuple(wanted)), reads.seconds_left / 2, **wanted, starts=starts, limit=COUNT_CAP + 1
    )
    if rows is None or sum(count for _, count, _ in rows) > COUNT_CAP:
        return None
    counts: Counts = [(0, True)] * len(starts)
    failures = [*counts]
    for bucket, count, failed in rows:
        # SQL can write times before the year 1.
        number = max(bucket, 1) - 1
        counts[number] = counts[number][0] + count, True
        failures[number] = failures[number][0] + failed, True
    return counts, failures


def _failures_among(wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of the same filters for failures only; None if the filters find none."""
    statuses = wanted.get("status_any") or [wanted.get("status", AuditStatus.FAILURE)]
    if AuditStatus.FAILURE not in statuses:
        return None
    others = {name: value for name, value in wanted.items() if name != "status_any"}
    return others | {"status": AuditStatus.FAILURE}


async def get_facets(reads: BoundedReads, query: FacetsQuery) -> Facets:
    """Count the commonest values of a field; estimate them where many records match. Raises `DatabaseTimeout`."""
    wanted = filters.parameters(query)
    statement = _facets_statement(tuple(wanted), query.field)
    rows = await reads.try_fetch(statement, reads.seconds_left / 3, **wanted, limit=COUNT_CAP + 1)
    if rows is not None and (not rows or rows[0][2] <= COUNT_CAP):
        return _facets(query.field, rows, "eq")
    span = _span(query, *await _find_extent(reads, query, wanted))
    if span is None:
        return _facets(query.field, [], "eq")
    found, looked_at, is_exact = await sampling.find_commonest(reads, wanted, span, query.field)
    return _facets(query.field, [(*each, looked_at) for each in found], "eq" if is_exact else "approx")


def _facets(field: AuditField, rows: Sequence[Any], relation: Relation) -> Facets:
    values = [FacetValue(value=row[0], count=round(row[1])) for row in rows]
    return Facets(field=field, values=values, relation=relation, sampled=rows[0][2] if rows else 0)


@cached_statement
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


async def get_values(reads: BoundedReads, query: ValuesQuery) -> Values:
    """The first values of a field, in their order, that begin with a prefix. Raises `DatabaseTimeout`."""
    start, end = filters.prefix_range(query.prefix)
    values = await read_values(reads, query.field, start, end, MAX_SUGGESTIONS)
    return Values(field=query.field, values=values)
