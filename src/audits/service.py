"""What can be done with audit records. No function here commits.

A write decides in its own locking statement whether the record is there, and of which version.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock, pagination
from src.audits import idempotency, listing, statements
from src.audits.constants import Operation
from src.audits.exceptions import AuditNotFound, DetailsTooLarge
from src.audits.export import open_export
from src.audits.idempotency import IdempotentRequest
from src.audits.revisions import Change, Revision, seal
from src.audits.schemas import (
    Audit,
    AuditCreate,
    AuditDeleted,
    AuditFilter,
    AuditHistory,
    AuditPage,
    AuditPatch,
    AuditQuery,
    AuditReplace,
    AuditRevision,
    ExportQuery,
    HistoryQuery,
)
from src.conditional import IfMatch
from src.identifiers import new_id

Location = tuple[str | int, ...]

_audits = TypeAdapter(list[Audit])
_revisions = TypeAdapter(list[AuditRevision])
_counts = TypeAdapter(dict[str, int])


@dataclass(frozen=True)
class Created:
    """`replayed`: these are the records that an earlier request with the same key has created."""

    audits: list[Audit]
    replayed: bool = False


@dataclass(frozen=True)
class Sample:
    """The newest records of those that match, and how many match: in all, of each status, of the commonest actions."""

    audits: list[Audit]
    total: int
    by_action: dict[str, int]
    by_status: dict[str, int]


@dataclass(frozen=True)
class _Locked:
    audit: Audit
    hash: bytes | None


async def create(
    connection: AsyncConnection, record: AuditCreate, change: Change, request: IdempotentRequest | None = None
) -> Created:
    """Raises `DetailsTooLarge`, `IdempotencyKeyReused`."""
    async with _details_within_limit(connection, {("body", "details"): record.details}):
        return await _create(connection, [record], change, request)


async def create_batch(
    connection: AsyncConnection, records: Sequence[AuditCreate], change: Change, request: IdempotentRequest | None
) -> Created:
    """All of them or none. Raises `DetailsTooLarge`, `IdempotencyKeyReused`."""
    details: dict[Location, dict[str, Any]] = {
        ("body", "items", index, "details"): record.details for index, record in enumerate(records)
    }
    async with _details_within_limit(connection, details):
        return await _create(connection, records, change, request)


async def _create(
    connection: AsyncConnection, records: Sequence[AuditCreate], change: Change, request: IdempotentRequest | None
) -> Created:
    revisions = _first_revisions(records, change)
    parameters = statements.parameters(revisions)
    if request is None:
        return _created(revisions, (await connection.scalars(statements.CREATE, parameters)).all())
    while True:
        claim = idempotency.claim(request, [revision.audit_id for revision in revisions])
        statement = statements.create(exists(select(claim.c.claimed))).add_cte(idempotency.clear_expired(request))
        if created := (await connection.scalars(statement, parameters)).all():
            return _created(revisions, created)
        # Taken; or it has expired since, and can be claimed.
        if first := await idempotency.first_answer(connection, request):
            return Created([Audit.model_validate_json(record) for record in first], replayed=True)


def _first_revisions(records: Sequence[AuditCreate], change: Change) -> list[Revision]:
    now = clock.now()
    return [seal(_new_record(record, now), Operation.CREATE, change, now, None) for record in records]


def _new_record(record: AuditCreate, now: datetime) -> dict[str, Any]:
    times = {"occurred_at": now, "recorded_at": now, "updated_at": now}
    return Audit.model_validate(times | record.model_dump() | {"id": new_id(), "version": 1}).model_dump(mode="json")


def _created(revisions: Sequence[Revision], records: Sequence[str]) -> Created:
    """In the order in which they were sent, which RETURNING does not promise."""
    audits = {audit.id: audit for audit in map(Audit.model_validate_json, records)}
    return Created([audits[revision.audit_id] for revision in revisions])


async def get(connection: AsyncConnection, audit_id: UUID) -> Audit:
    """Raises `AuditNotFound`."""
    found = await connection.scalar(statements.GET, {"audit_id": audit_id})
    if found is None:
        raise AuditNotFound
    return Audit.model_validate_json(found)


async def find(connection: AsyncConnection, query: AuditQuery) -> AuditPage:
    """One page and its total, in one statement, so that both are of one moment. Raises `InvalidCursor`."""
    position = listing.decode_position(query)
    records, counted = (await connection.execute(listing.page(query, position))).one()
    items = _audits.validate_json(records)
    total, relation = pagination.relate_total(counted, query.count)
    return AuditPage(
        items=items[: query.limit],
        limit=query.limit,
        offset=None if query.cursor else query.offset,
        total=total,
        total_relation=relation,
        next_cursor=listing.encode_position(query, items[query.limit - 1]) if len(items) > query.limit else None,
    )


async def sample(connection: AsyncConnection, wanted: AuditFilter, limit: int) -> Sample:
    """Records and counts of one moment."""
    records, *counts = (await connection.execute(listing.sample(wanted, limit))).one()
    by_action, by_status = map(_counts.validate_json, counts)
    return Sample(_audits.validate_json(records), sum(by_status.values()), by_action, by_status)


async def get_history(connection: AsyncConnection, audit_id: UUID, query: HistoryQuery) -> AuditHistory:
    """Newest first; of a deleted record too. Raises `AuditNotFound`, `InvalidCursor`."""
    before = listing.decode_version(audit_id, query)
    revisions, counted = (await connection.execute(listing.history(audit_id, query, before))).one()
    if not counted:
        raise AuditNotFound
    items = _revisions.validate_json(revisions)
    last = items[query.limit - 1].version if len(items) > query.limit else None
    return AuditHistory(
        items=items[: query.limit],
        limit=query.limit,
        offset=None if query.cursor else query.offset,
        total=counted,
        total_relation="eq",
        next_cursor=last and listing.encode_version(audit_id, last),
    )


async def replace(
    connection: AsyncConnection, audit_id: UUID, record: AuditReplace, change: Change, if_match: IfMatch | None
) -> Audit:
    """Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`."""
    return await _rewrite(connection, audit_id, record.model_dump(), change, if_match)


async def patch(
    connection: AsyncConnection, audit_id: UUID, changes: AuditPatch, change: Change, if_match: IfMatch | None
) -> Audit:
    """Of two patches at once to different fields, both survive.

    Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`.
    """
    return await _rewrite(connection, audit_id, changes.model_dump(), change, if_match)


async def _rewrite(
    connection: AsyncConnection, audit_id: UUID, fields: dict[str, Any], change: Change, if_match: IfMatch | None
) -> Audit:
    current = await _lock(connection, audit_id, if_match)
    now = _later(current.audit.updated_at)
    changed = current.audit.model_copy(update=fields | {"version": current.audit.version + 1, "updated_at": now})
    revision = seal(changed.model_dump(mode="json"), Operation.UPDATE, change, now, current.hash)
    async with _details_within_limit(connection, {("body", "details"): changed.details}):
        updated = await connection.execute(statements.UPDATE, statements.parameters([revision]))
    return Audit.model_validate_json(updated.scalar_one())


async def remove(connection: AsyncConnection, audit_id: UUID, change: Change, if_match: IfMatch | None) -> AuditDeleted:
    """Its history stays. Raises `AuditNotFound`, `VersionMismatch`."""
    current = await _lock(connection, audit_id, if_match)
    now = _later(current.audit.updated_at)
    revision = seal(current.audit.model_dump(mode="json"), Operation.DELETE, change, now, current.hash)
    await connection.execute(statements.DELETE, statements.parameters([revision]))
    return AuditDeleted(id=audit_id, version=revision.version, deleted_at=now)


async def _lock(connection: AsyncConnection, audit_id: UUID, if_match: IfMatch | None) -> _Locked:
    """The record as it stands until the transaction ends. Raises `AuditNotFound`, `VersionMismatch`."""
    row = (await connection.execute(statements.LOCK, {"audit_id": audit_id})).one_or_none()
    if row is None:
        raise AuditNotFound
    locked = _Locked(Audit.model_validate_json(row[0]), row[1])
    if if_match:
        if_match.check(locked.audit.version)
    return locked


def _later(than: datetime) -> datetime:
    """Now; never before the last change, which a host with another clock may have made."""
    return max(clock.now(), than)


async def export(connection: AsyncConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """Every record that matches, written in the query's format."""
    return await open_export(connection, query)


@asynccontextmanager
async def _details_within_limit(
    connection: AsyncConnection, details: Mapping[Location, dict[str, Any]]
) -> AsyncIterator[None]:
    """Only PostgreSQL knows how long it prints a value: 1e308 grows to 309 digits."""
    try:
        yield
    except IntegrityError as error:
        if getattr(error.driver_exception, "constraint_name", None) != "audit_details_size_check":
            raise
        locations = list(details)
        if len(locations) > 1:
            positions = await connection.scalars(statements.TOO_LARGE, {"details": list(details.values())})
            locations = [locations[position - 1] for position in positions]
        raise DetailsTooLarge(locations) from None
