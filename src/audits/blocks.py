"""A sample of all records: those in some blocks of the table, all in the same distance from each other.

Records are mostly stored in the order in which they came. So a burst has the same share of the blocks as of the
records, however short it was. A sample says little about what is rare.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
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
from src.audits.models import audit
from src.bounded_reads import BoundedReads
from src.statement import Statement, cached_statement

# How many blocks are read, some 60,000 records.
_BLOCKS = 1_500
_SAMPLE = """
    SELECT CAST(format('(%s,0)', number * blocks / looked_at) AS tid) AS first,
        CAST(format('(%s,0)', number * blocks / looked_at + 1) AS tid) AS following,
        CAST(blocks AS float) / looked_at AS scale
    FROM (SELECT pg_relation_size('audit') / CAST(current_setting('block_size') AS int) AS blocks) AS size
    CROSS JOIN LATERAL (SELECT least(blocks, CAST(:most AS bigint)) AS looked_at) AS sample
    CROSS JOIN generate_series(0, looked_at - 1) AS number
"""


async def count_buckets(
    reads: BoundedReads, wanted: Mapping[str, Any], starts: Sequence[Any], seconds: float
) -> list[asyncpg.Record] | None:
    """The number of each bucket, how many matching records of the sample it has, and the scale of the sample.

    The scale is 1 where the sample is the whole table. None if it takes longer than these seconds.
    """
    statement = _buckets_statement(tuple(wanted))
    return await reads.try_fetch(statement, seconds, by_index=True, most=_BLOCKS, starts=starts, **wanted)


@cached_statement
def _buckets_statement(names: tuple[str, ...]) -> Statement:
    starts = bindparam("starts", type_=ARRAY(DateTime(timezone=True)))
    # SQL can write times before the year 1.
    bucket = func.greatest(func.width_bucket(audit.c.occurred_at, starts), literal_column("1")).label("bucket")
    sample, records = _sample(names, bucket)
    grouped = (records.c.bucket, sample.c.scale)
    return Statement(
        select(records.c.bucket, func.count(), sample.c.scale)
        .select_from(sample.join(records, true()))
        .group_by(*grouped)
    )


async def find_commonest(
    reads: BoundedReads, wanted: Mapping[str, Any], field: str, seconds: float
) -> list[asyncpg.Record] | None:
    """The commonest values of the sample's matching records, how many have each, how many there are, and the scale.

    None if it takes longer than these seconds.
    """
    statement = _commonest_statement(tuple(wanted), field)
    return await reads.try_fetch(statement, seconds, by_index=True, most=_BLOCKS, **wanted)


@cached_statement
def _commonest_statement(names: tuple[str, ...], field: str) -> Statement:
    sample, records = _sample(names, audit.c[field].label("value"))
    number = func.count().label("number")
    matching = cast(func.sum(func.count()).over(), Integer)
    return Statement(
        select(records.c.value, number, matching, sample.c.scale)
        .select_from(sample.join(records, true()))
        .group_by(records.c.value, sample.c.scale)
        .order_by(number.desc(), records.c.value)
        .limit(literal_column(str(MAX_FACETS)))
    )


def _sample(names: tuple[str, ...], selected: ColumnElement[Any]) -> tuple[FromClause, FromClause]:
    """The blocks, and what is selected of the matching records in each."""
    sample = text(_SAMPLE).columns(column("first"), column("following"), column("scale")).subquery("sample")
    place: ColumnElement[Any] = literal_column("audit.ctid")
    records = (
        select(selected)
        .where(place >= sample.c.first, place < sample.c.following, *filters.predicates(names))
        # So that PostgreSQL reads each block alone.
        .offset(literal_column("0"))
        .correlate(sample)
        .lateral("records")
    )
    return sample, records
