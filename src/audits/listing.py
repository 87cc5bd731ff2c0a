"""Pages of records and of a record's history, as SQL, and what their cursors hold."""

from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter
from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, cast, func, literal_column, select

from src import pagination
from src.audits import filters
from src.audits.constants import MAX_COUNTED_ACTIONS
from src.audits.models import audit, audit_revision
from src.audits.schemas import Audit, AuditFilter, AuditQuery, AuditRevision, HistoryQuery
from src.audits.statements import AS_OBJECT
from src.pagination import Count, Order
from src.schemas import UTCDateTime
from src.statement import Statement

Position = tuple[UTCDateTime, UUID]
Version = tuple[Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]]

# How many statements are kept, of the filters that are given together.
_SHAPES = 512
_LIMIT, _OFFSET = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)
# Behind every version that there can be.
MAX_VERSION = 2**31 - 1

# What of a query a cursor is bound to.
_BOUND = {*AuditFilter.model_fields, "order"}

_position: TypeAdapter[Position] = TypeAdapter(Position)
_version: TypeAdapter[Version] = TypeAdapter(Version)


def page_values(query: AuditQuery, position: Position | None) -> dict[str, Any]:
    """The parameters of `page`."""
    bounds = {"limit": query.limit + 1, "offset": 0 if position else query.offset}
    last = {"last_occurred_at": position[0], "last_id": position[1]} if position else {}
    return filters.values(query) | bounds | last


@lru_cache(_SHAPES)
def page(names: tuple[str, ...], order: Order, count: Count) -> Statement:
    """One row: the records as a JSON array, one more than the limit where there are more, and how many match.

    Built once for the names of its values, 2 ms; most lists ask for the same few.
    """
    conditions = filters.conditions(names)
    reached = [*conditions, filters.behind(order)] if "last_id" in names else conditions
    records = (
        select(AS_OBJECT.label("item"))
        .where(*reached)
        .order_by(*filters.ordering(order))
        .limit(_LIMIT)
        .offset(_OFFSET)
        .subquery()
    )
    matches: Select[Any] = select(literal_column("1")).select_from(audit).where(*conditions)
    counted = pagination.count_matches(matches, count)
    return Statement(select(pagination.as_array(records), counted.scalar_subquery()))


@lru_cache(_SHAPES)
def sample(names: tuple[str, ...]) -> Statement:
    """One row: the newest records as a JSON array, and how many match of each action and of each status, as objects."""
    conditions = filters.conditions(names)
    newest = select(AS_OBJECT.label("item")).where(*conditions).order_by(*filters.ordering(Order.DESC)).limit(_LIMIT)
    return Statement(
        select(
            pagination.as_array(newest.subquery()),
            _counts(audit.c.action, conditions, MAX_COUNTED_ACTIONS),
            _counts(audit.c.status, conditions, None),
        )
    )


def _counts(key: ColumnElement[str], conditions: list[ColumnElement[bool]], limit: int | None) -> ColumnElement[str]:
    """The most frequent values of a column, with how many have each."""
    number = func.count().label("number")
    groups = select(key.label("value"), number).where(*conditions).group_by(key).order_by(number.desc(), key)
    counted = groups.limit(limit).subquery()
    as_object = func.coalesce(func.json_object_agg(counted.c.value, counted.c.number), literal_column("'{}'::json"))
    return select(cast(as_object, Text)).scalar_subquery()


def encode_position(query: AuditQuery, last: Audit) -> str:
    return pagination.encode_cursor([last.occurred_at.isoformat(), str(last.id)], _list_of(query))


def decode_position(query: AuditQuery) -> Position | None:
    """Raises `InvalidCursor`."""
    return None if query.cursor is None else pagination.decode_cursor(query.cursor, _list_of(query), _position)


def _list_of(query: AuditQuery) -> dict[str, Any]:
    """What a cursor is bound to: the filters and the order; `limit` and `count` may change between pages."""
    return query.model_dump(mode="json", include=_BOUND)


_REVISION = func.json_build_object(
    *(literal_column("'version'"), audit_revision.c.version),
    *(literal_column("'operation'"), audit_revision.c.operation),
    *(literal_column("'changed_at'"), audit_revision.c.changed_at),
    *(literal_column("'changed_by'"), audit_revision.c.changed_by),
    *(literal_column("'reason'"), audit_revision.c.reason),
    *(literal_column("'record'"), audit_revision.c.record),
    *(literal_column("'previous_hash'"), func.encode(audit_revision.c.previous_hash, "hex")),
    *(literal_column("'hash'"), func.encode(audit_revision.c.hash, "hex")),
)


def history_values(audit_id: UUID, query: HistoryQuery, before: int | None) -> dict[str, Any]:
    """The parameters of `history`."""
    bounds = {"limit": query.limit + 1, "offset": 0 if before else query.offset}
    return {"audit_id": audit_id, **bounds, "before": before or MAX_VERSION}


_of_record = audit_revision.c.audit_id == bindparam("audit_id")
_revisions = (
    select(_REVISION.label("item"))
    .where(_of_record, audit_revision.c.version < bindparam("before"))
    .order_by(audit_revision.c.version.desc())
    .limit(_LIMIT)
    .offset(_OFFSET)
    .subquery()
)
HISTORY = Statement(select(pagination.as_array(_revisions), select(func.count()).where(_of_record).scalar_subquery()))
"""One row: the revisions as a JSON array, newest first, one more than the limit where there are more; and all."""


def encode_version(audit_id: UUID, last: AuditRevision) -> str:
    return pagination.encode_cursor([last.version], str(audit_id))


def decode_version(audit_id: UUID, query: HistoryQuery) -> int | None:
    """Raises `InvalidCursor`."""
    return None if query.cursor is None else pagination.decode_cursor(query.cursor, str(audit_id), _version)[0]
