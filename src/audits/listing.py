"""The SQL of pages of records and of a record's history, and their cursors."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter
from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, cast, func, literal_column, select

from src import pagination
from src.audits import filters
from src.audits.constants import FIRST_VERSION, MAX_COUNTED_ACTIONS, MAX_VERSION
from src.audits.models import audit, audit_revision
from src.audits.schemas import AuditFilter, AuditQuery, AuditRevision, HistoryQuery
from src.audits.statements import AS_JSON, StoredAudit
from src.pagination import Count, Order
from src.schemas import UTCDateTime
from src.shaped import text_array
from src.statement import Statement, cached_statement

Position = tuple[UTCDateTime, UUID]
Version = tuple[Annotated[int, Field(strict=True, ge=FIRST_VERSION, le=MAX_VERSION)]]

_LIMIT, _OFFSET = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)

# A cursor is valid only for a query with the same values in these fields.
_CURSOR_FIELDS = {*AuditFilter.model_fields, "order"}

_position: TypeAdapter[Position] = TypeAdapter(Position)
_version: TypeAdapter[Version] = TypeAdapter(Version)


def page_parameters(query: AuditQuery, position: Position | None) -> dict[str, Any]:
    """The SQL parameters of `page_statement`. Without a position the page is selected by its offset."""
    bounds = {"limit": query.limit + 1, "offset": 0 if position else query.offset}
    last = {"last_occurred_at": position[0], "last_id": position[1]} if position else {}
    return filters.parameters(query) | bounds | last


@cached_statement
def page_statement(names: tuple[str, ...], order: Order, count: Count) -> Statement:
    """Selects one row: an array of the records, each as JSON, and how many records match.

    The array has one record more than the limit if there is a next page. `names` are those of the parameters.
    """
    predicates = filters.predicates(names)
    page_predicates = [*predicates, filters.keyset_predicate(order)] if "last_id" in names else predicates
    records = (
        select(AS_JSON.label("item"))
        .where(*page_predicates)
        .order_by(*filters.sort_order(order))
        .limit(_LIMIT)
        .offset(_OFFSET)
        .subquery()
    )
    matches: Select[Any] = select(literal_column("1")).select_from(audit).where(*predicates)
    counted = pagination.count_matches(matches, count)
    return Statement(select(text_array(records), counted.scalar_subquery()))


@cached_statement
def sample_statement(names: tuple[str, ...]) -> Statement:
    """Selects one row: an array of the newest records, and the counts by action and by status as JSON objects."""
    predicates = filters.predicates(names)
    newest = select(AS_JSON.label("item")).where(*predicates).order_by(*filters.sort_order(Order.DESC)).limit(_LIMIT)
    return Statement(
        select(
            text_array(newest.subquery()),
            _counts_by_value(audit.c.action, predicates, MAX_COUNTED_ACTIONS),
            _counts_by_value(audit.c.status, predicates, None),
        )
    )


def _counts_by_value(
    key: ColumnElement[str], predicates: list[ColumnElement[bool]], limit: int | None
) -> ColumnElement[str]:
    """The most frequent values of a column as a JSON object: how many records have each value."""
    number = func.count().label("number")
    groups = select(key.label("value"), number).where(*predicates).group_by(key).order_by(number.desc(), key)
    counted = groups.limit(limit).subquery()
    as_object = func.coalesce(func.json_object_agg(counted.c.value, counted.c.number), literal_column("'{}'::json"))
    return select(cast(as_object, Text)).scalar_subquery()


def encode_list_cursor(query: AuditQuery, last: StoredAudit) -> str:
    """The cursor of the page after the record `last`."""
    return pagination.encode_cursor([last.occurred_at.isoformat(), str(last.id)], _list_identity(query))


def decode_list_cursor(query: AuditQuery) -> Position | None:
    """The time and the id of the record before the page; None for a query without a cursor. Raises `InvalidCursor`."""
    return None if query.cursor is None else pagination.decode_cursor(query.cursor, _list_identity(query), _position)


def _list_identity(query: AuditQuery) -> str:
    """The filters and the order that a cursor is bound to. `limit` and `count` may change from page to page."""
    return query.model_dump_json(include=_CURSOR_FIELDS)


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


def history_parameters(audit_id: UUID, query: HistoryQuery, before: int | None) -> dict[str, Any]:
    """The SQL parameters of `HISTORY`. The page begins with the version below `before`, or at the query's offset."""
    bounds = {"limit": query.limit + 1, "offset": 0 if before else query.offset}
    return {"audit_id": audit_id, **bounds, "before": before or MAX_VERSION}


_is_of_audit = audit_revision.c.audit_id == bindparam("audit_id")
_revisions = (
    select(cast(_REVISION, Text).label("item"))
    .where(_is_of_audit, audit_revision.c.version < bindparam("before"))
    .order_by(audit_revision.c.version.desc())
    .limit(_LIMIT)
    .offset(_OFFSET)
    .subquery()
)
HISTORY = Statement(select(text_array(_revisions), select(func.count()).where(_is_of_audit).scalar_subquery()))
"""Selects one row: an array of the revisions, each as JSON, newest first, and how many revisions the record has.

The array has one revision more than the limit if there is a next page.
"""


def encode_history_cursor(audit_id: UUID, last: AuditRevision) -> str:
    """The cursor of the page after the revision `last`."""
    return pagination.encode_cursor([last.version], str(audit_id))


def decode_history_cursor(audit_id: UUID, query: HistoryQuery) -> int | None:
    """The version before the page; None for a query without a cursor. Raises `InvalidCursor`."""
    return None if query.cursor is None else pagination.decode_cursor(query.cursor, str(audit_id), _version)[0]
