"""Windows of time. In each, all entries of a driving filter's index are counted, or the records behind them read."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
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

from src.audits import filters
from src.audits.aggregate_schemas import MAX_FACETS
from src.audits.buckets import EARLIEST, LATEST, to_time
from src.audits.driving_filters import DrivingFilter
from src.audits.models import audit
from src.bounded_reads import TOO_LONG, BoundedReads
from src.exceptions import DatabaseTimeout
from src.statement import Statement, cached_statement

# Windows in the whole time: to find out roughly how many entries there are, or to estimate how many each bucket has.
FEW, MANY = 480, 2_880

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


async def count(
    reads: BoundedReads, driving: DrivingFilter, bounds: Sequence[int], windows: int, share: float, seconds: float
) -> list[float] | None:
    """Count the entries in `windows`, which together are `share` of the time; None if that takes too long."""
    arguments = _arguments(driving, bounds, windows, share)
    rows = await reads.try_fetch(_count_statement(driving.column), seconds, by_index=True, **arguments)
    if rows is None:
        return None
    counts = [0.0] * (len(bounds) - 1)
    for bucket, entries, most in rows:
        counts[bucket - 1] = _scale(int(entries), most, share)
    return counts


def _scale(entries: int, most: int, share: float) -> float:
    """How many entries a bucket has. `entries` of them were counted, `most` of these in the fullest window.

    A window with more entries than all others together holds something that happens once, such as an import. So its
    entries are not scaled.
    """
    others = entries - most
    return others / share + (most if most > others else most / share)


async def fetch_sample(
    reads: BoundedReads,
    statement: Statement,
    driving: DrivingFilter,
    wanted: Mapping[str, Any],
    bounds: Sequence[int],
    share: float,
) -> tuple[list[asyncpg.Record], bool]:
    """The rows of a statement that reads a `share` of the entries, and whether it has read all of them.

    Where the time is too short, it reads a sixteenth of the share. Raises `DatabaseTimeout`.
    """
    rest = {name: wanted[name] for name in driving.rest}
    for part in (share, share / 16):
        arguments = rest | _arguments(driving, bounds, FEW, part)
        rows = await reads.try_fetch(statement, reads.seconds_left / 2, by_index=True, **arguments)
        if rows is not None:
            return rows, part == 1
    raise DatabaseTimeout(TOO_LONG)


def _arguments(driving: DrivingFilter, bounds: Sequence[int], windows: int, share: float) -> dict[str, Any]:
    # asyncpg makes infinities of the first and the last time that it knows.
    times = [to_time(min(max(bound, EARLIEST + 1), LATEST - 1)) for bound in bounds]
    parts = max(1, windows // ((len(bounds) - 1) * max(1, len(driving.values))))
    values = {"values": driving.values} if driving.column else {}
    return {"begins": times[:-1], "ends": times[1:], "parts": parts, "share": share} | values


def _windows(driving_column: str | None) -> FromClause:
    time = DateTime(timezone=True)
    columns = (column("bucket", Integer), column("begin", time), column("finish", time))
    windows = text(_WINDOWS).columns(*columns).subquery("windows")
    if driving_column is None:
        return windows
    values = func.unnest(bindparam("values", type_=ARRAY(Text))).table_valued("value", name="driving").render_derived()
    return select(windows, values.c.value).select_from(windows.join(values, true())).subquery("windows_of_values")


def _entries(driving_column: str | None, windows: FromClause, *columns: ColumnElement[Any]) -> FromClause:
    """What is selected of the records in each window."""
    predicates = [audit.c.occurred_at >= windows.c.begin, audit.c.occurred_at < windows.c.finish]
    if driving_column:
        predicates.append(audit.c[driving_column] == windows.c.value)
    entries = select(*columns).where(*predicates).correlate(windows)
    # So that PostgreSQL reads each window alone.
    return entries.offset(literal_column("0")).lateral("entries")


@lru_cache
def _count_statement(driving_column: str | None) -> Statement:
    """Selects for each bucket how many entries its windows have, and how many the fullest one has."""
    windows = _windows(driving_column)
    entries = _entries(driving_column, windows, func.count().label("number"))
    number = entries.c.number
    joined = windows.join(entries, true())
    return Statement(
        select(windows.c.bucket, func.sum(number), func.max(number)).select_from(joined).group_by(windows.c.bucket)
    )


@cached_statement
def matches_statement(driving_column: str | None, rest: tuple[str, ...]) -> Statement:
    """Selects for each bucket how many records are in its windows, and how many of these match the other filters."""
    windows = _windows(driving_column)
    is_match = and_(true(), *filters.predicates(rest))
    entries = _entries(
        driving_column, windows, func.count().label("looked_at"), func.count().filter(is_match).label("matching")
    )
    sums = (cast(func.sum(each), Integer) for each in (entries.c.looked_at, entries.c.matching))
    joined = windows.join(entries, true())
    return Statement(select(windows.c.bucket, *sums).select_from(joined).group_by(windows.c.bucket))


@cached_statement
def commonest_statement(driving_column: str | None, rest: tuple[str, ...], field: str) -> Statement:
    """Selects the commonest values of the records in windows that match, and how many have each.

    Also how many match in all, and how many there are, whether they match or not.
    """
    windows = _windows(driving_column)
    is_match = and_(true(), *filters.predicates(rest)).label("is_match")
    entries = _entries(driving_column, windows, audit.c[field].label("value"), is_match)
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
