"""Everything that is asked of the tables of the audits domain. No function here commits.

The database hands over each record as finished JSON, which its model then validates in one step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from src import pagination
from src.audits.exceptions import AuditNotFound, DetailsTooLarge
from src.audits.models import audit
from src.audits.schemas import (
    Audit,
    AuditCreate,
    AuditDeleted,
    AuditFilter,
    AuditPage,
    AuditPatch,
    AuditQuery,
    AuditReplace,
)
from src.identifiers import new_id
from src.pagination import Count, Order

_audits = TypeAdapter(list[Audit])

_AS_OBJECT: ColumnElement[Any] = func.json_build_object(
    *chain.from_iterable((literal_column(f"'{column.name}'"), column) for column in audit.c)
)
_AS_JSON = cast(_AS_OBJECT, Text)

_CREATE = (
    insert(audit)
    .values(occurred_at=func.coalesce(bindparam("occurred_at", type_=DateTime(timezone=True)), func.now()))
    .returning(_AS_JSON)
)
_GET = select(_AS_JSON).where(audit.c.id == bindparam("audit_id"))
_DELETE = (
    delete(audit)
    .where(audit.c.id == bindparam("audit_id"))
    .returning(audit.c.id, (audit.c.version + 1).label("version"), func.clock_timestamp().label("deleted_at"))
)


async def create(connection: AsyncConnection, record: AuditCreate) -> Audit:
    """Raises `DetailsTooLarge`."""
    with _details_within_limit():
        result = await connection.execute(_CREATE, {"id": new_id(), "occurred_at": None} | record.model_dump())
    return Audit.model_validate_json(result.scalar_one())


async def get(connection: AsyncConnection, audit_id: UUID) -> Audit:
    """Raises `AuditNotFound`."""
    found = await connection.scalar(_GET, {"audit_id": audit_id})
    if found is None:
        raise AuditNotFound
    return Audit.model_validate_json(found)


async def replace(connection: AsyncConnection, audit_id: UUID, record: AuditReplace) -> Audit:
    """Raises `AuditNotFound`, `DetailsTooLarge`."""
    return await _update(connection, audit_id, record.model_dump())


async def patch(connection: AsyncConnection, audit_id: UUID, changes: AuditPatch) -> Audit:
    """Write the given fields only: of two patches at once to different fields, both survive.

    Raises `AuditNotFound`, `DetailsTooLarge`.
    """
    return await _update(connection, audit_id, changes.model_dump())


async def _update(connection: AsyncConnection, audit_id: UUID, values: dict[str, Any]) -> Audit:
    # clock_timestamp(), not now(): behind a lock, now() would be older than the change that was waited for.
    statement = (
        update(audit)
        .where(audit.c.id == audit_id)
        .values(**values, version=audit.c.version + 1, updated_at=func.clock_timestamp())
        .returning(_AS_JSON)
    )
    with _details_within_limit():
        updated = await connection.scalar(statement)
    if updated is None:
        raise AuditNotFound
    return Audit.model_validate_json(updated)


async def remove(connection: AsyncConnection, audit_id: UUID) -> AuditDeleted:
    """Raises `AuditNotFound`."""
    deleted = (await connection.execute(_DELETE, {"audit_id": audit_id})).mappings().one_or_none()
    if deleted is None:
        raise AuditNotFound
    return AuditDeleted.model_validate(deleted)


async def find(connection: AsyncConnection, query: AuditQuery) -> AuditPage:
    """One page and its total, in one statement, so that both are of one moment."""
    conditions = _conditions(query)
    page = _page(query, conditions)
    items = select(cast(func.coalesce(func.json_agg(page.c.record), literal_column("'[]'::json")), Text))
    statement = select(items.scalar_subquery(), _counted(query, conditions).scalar_subquery())
    records, counted = (await connection.execute(statement)).one()
    total, relation = pagination.relate_total(counted, query.count)
    return AuditPage(
        items=_audits.validate_json(records),
        limit=query.limit,
        offset=query.offset,
        total=total,
        total_relation=relation,
    )


def _page(query: AuditQuery, conditions: list[ColumnElement[bool]]) -> Subquery:
    keys = (audit.c.occurred_at, audit.c.id)
    return (
        select(_AS_OBJECT.label("record"))
        .where(*conditions)
        .order_by(*(key.desc() if query.order is Order.DESC else key.asc() for key in keys))
        .limit(query.limit)
        .offset(query.offset)
        .subquery()
    )


def _counted(query: AuditQuery, conditions: list[ColumnElement[bool]]) -> Select[Any]:
    """How many match; a capped count stops looking one past its cap, and none is looked for where none is wanted."""
    if query.count is Count.NONE:
        return select(null())
    matches: Select[Any] = select(literal_column("1")).select_from(audit).where(*conditions)
    return select(func.count()).select_from(matches.limit(pagination.count_limit(query.count)).subquery())


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """A predicate for each filter that is set; one that is not set would keep the others from their indexes."""
    conditions: list[ColumnElement[bool]] = [
        audit.c[name] == value
        for name in ("entity_type", "entity_id", "actor_type", "actor_id", "correlation_id")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.action:
        conditions.append(or_(*map(_action_matches, wanted.action)))
    if wanted.status:
        conditions.append(audit.c.status.in_(wanted.status))
    if wanted.occurred_from is not None:
        conditions.append(audit.c.occurred_at >= wanted.occurred_from)
    if wanted.occurred_to is not None:
        conditions.append(audit.c.occurred_at < wanted.occurred_to)
    if wanted.details is not None:
        conditions.append(audit.c.details.contains(wanted.details))
    return conditions


def _action_matches(action: str) -> ColumnElement[bool]:
    if not action.endswith(".*"):
        return audit.c.action == action
    # A range, which an index serves also where LIKE with a parameter cannot: "/" is the character after ".".
    prefix = action.removesuffix("*")
    return and_(audit.c.action >= prefix, audit.c.action < prefix.removesuffix(".") + "/")


@contextmanager
def _details_within_limit() -> Iterator[None]:
    """Only PostgreSQL knows how long it prints a value: 1e308 grows to 309 digits."""
    try:
        yield
    except IntegrityError as error:
        if getattr(error.driver_exception, "constraint_name", None) == "audit_details_size_check":
            raise DetailsTooLarge from None
        raise
