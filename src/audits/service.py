"""What can be done with audit records. No function here commits.

A write decides in its own locking statement whether the record is there, and of which version.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import exists, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.audits import filters, idempotency, listing, statements
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
from src.database import AutocommitConnection, TransactionConnection
from src.etags import IfMatch
from src.identifiers import new_id
from src.pagination import Count
from src.statement import Statement

_CREATE_ONCE = Statement(
    statements.create(exists(select(idempotency.CLAIM.c.claimed))).add_cte(idempotency.CLEAR_EXPIRED)
)
"""Creates nothing where the key is taken."""

# SQLSTATE (PostgreSQL documentation, appendix A).
_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE = "25006", "55P03"
_BRIEFLY = 100  # milliseconds

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
    connection: AutocommitConnection, record: AuditCreate, change: Change, request: IdempotentRequest | None = None
) -> Created:
    """Raises `DetailsTooLarge`, `IdempotencyKeyReused`."""
    with _details_within_limit():
        return await _create(connection, [record], change, request)


async def create_batch(
    connection: AutocommitConnection, records: Sequence[AuditCreate], change: Change, request: IdempotentRequest | None
) -> Created:
    """All of them or none. Raises `DetailsTooLarge`, `IdempotencyKeyReused`."""
    try:
        with _details_within_limit():
            return await _create(connection, records, change, request)
    except DetailsTooLarge:
        details = to_json([record.details for record in records]).decode()
        positions = await connection.fetch_column(statements.TOO_LARGE, details=details)
        raise DetailsTooLarge([("body", "items", position - 1, "details") for position in positions]) from None


async def _create(
    connection: AutocommitConnection, records: Sequence[AuditCreate], change: Change, request: IdempotentRequest | None
) -> Created:
    revisions = _first_revisions(records, change)
    parameters = statements.parameters(revisions)
    if request is None:
        return _created(revisions, await connection.fetch_column(statements.CREATE, **parameters))
    audit_ids = [revision.audit_id for revision in revisions]
    while True:
        claim = idempotency.values(request, audit_ids)
        if created := await connection.fetch_column(_CREATE_ONCE, **parameters, **claim):
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


async def get(connection: AutocommitConnection, audit_id: UUID) -> Audit:
    """Raises `AuditNotFound`."""
    found = await connection.fetch_column(statements.GET, audit_id=audit_id)
    if not found:
        raise AuditNotFound
    return Audit.model_validate_json(found[0])


async def find(connection: AutocommitConnection, query: AuditQuery) -> AuditPage:
    """One page and its total, in one statement, so that both are of one moment. Raises `InvalidCursor`."""
    position = listing.decode_position(query)
    values = listing.page_values(query, position)
    records, counted = await connection.fetch_row(listing.page(tuple(values), query.order, query.count), **values)
    items = _audits.validate_json(records)
    return AuditPage.of(items, query, counted, query.count, partial(listing.encode_position, query))


async def sample(connection: AutocommitConnection, wanted: AuditFilter, limit: int) -> Sample:
    """Records and counts of one moment."""
    values = filters.values(wanted) | {"limit": limit}
    records, *counts = await connection.fetch_row(listing.sample(tuple(values)), **values)
    by_action, by_status = map(_counts.validate_json, counts)
    return Sample(_audits.validate_json(records), sum(by_status.values()), by_action, by_status)


async def get_history(connection: AutocommitConnection, audit_id: UUID, query: HistoryQuery) -> AuditHistory:
    """Newest first; of a deleted record too. Raises `AuditNotFound`, `InvalidCursor`."""
    before = listing.decode_version(audit_id, query)
    values = listing.history_values(audit_id, query, before)
    revisions, counted = await connection.fetch_row(listing.HISTORY, **values)
    if not counted:
        raise AuditNotFound
    items = _revisions.validate_json(revisions)
    return AuditHistory.of(items, query, counted, Count.EXACT, partial(listing.encode_version, audit_id))


async def replace(
    connection: TransactionConnection, audit_id: UUID, record: AuditReplace, change: Change, if_match: IfMatch | None
) -> Audit:
    """Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`."""
    return await _rewrite(connection, audit_id, record.model_dump(), change, if_match)


async def patch(
    connection: TransactionConnection, audit_id: UUID, changes: AuditPatch, change: Change, if_match: IfMatch | None
) -> Audit:
    """Of two patches at once to different fields, both survive.

    Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`.
    """
    return await _rewrite(connection, audit_id, changes.model_dump(), change, if_match)


async def _rewrite(
    connection: TransactionConnection, audit_id: UUID, fields: dict[str, Any], change: Change, if_match: IfMatch | None
) -> Audit:
    current = await _lock(connection, audit_id, if_match)
    now = _later(current.audit.updated_at)
    changed = current.audit.model_copy(update=fields | {"version": current.audit.version + 1, "updated_at": now})
    revision = seal(changed.model_dump(mode="json"), Operation.UPDATE, change, now, current.hash)
    with _details_within_limit():
        updated = await connection.execute(statements.UPDATE, statements.parameters([revision]))
    return Audit.model_validate_json(updated.scalar_one())


async def remove(
    connection: TransactionConnection, audit_id: UUID, change: Change, if_match: IfMatch | None
) -> AuditDeleted:
    """Its history stays. Raises `AuditNotFound`, `VersionMismatch`."""
    current = await _lock(connection, audit_id, if_match)
    now = _later(current.audit.updated_at)
    revision = seal(current.audit.model_dump(mode="json"), Operation.DELETE, change, now, current.hash)
    await connection.execute(statements.DELETE, statements.parameters([revision]))
    return AuditDeleted(id=audit_id, version=revision.version, deleted_at=now)


async def _lock(connection: TransactionConnection, audit_id: UUID, if_match: IfMatch | None) -> _Locked:
    """The record as it stands until the transaction ends. Raises `AuditNotFound`, `VersionMismatch`."""
    row = (await connection.execute(statements.LOCK, {"audit_id": audit_id})).one_or_none()
    if row is None:
        raise AuditNotFound
    locked = _Locked(Audit.model_validate_json(row[0]), None if row[1] is None else bytes.fromhex(row[1]))
    if if_match:
        if_match.check(locked.audit.version)
    return locked


def _later(than: datetime) -> datetime:
    """Now; never before the last change, which a host with another clock may have made."""
    return max(clock.now(), than)


async def accepts_writes(connection: AsyncConnection) -> bool:
    """Whether the database takes records: a standby, or one that only reads, takes none.

    It is asked by a write, which writes nothing: a balancer such as pgpool sends questions elsewhere. A table that
    somebody has locked is no answer, and no reason to say no.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = {_BRIEFLY}"))
    try:
        await connection.execute(statements.NOTHING)
    except DBAPIError as error:
        sqlstate = getattr(error.driver_exception, "sqlstate", None)
        if sqlstate not in (_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE):
            raise
        return bool(sqlstate == _LOCK_NOT_AVAILABLE)
    return True


async def export(connection: AsyncConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """Every record that matches, written in the query's format."""
    return await open_export(connection, query)


@contextmanager
def _details_within_limit() -> Iterator[None]:
    """Only PostgreSQL knows how long it prints a value: 1e308 grows to 309 digits."""
    try:
        yield
    except IntegrityError as error:
        if getattr(error.driver_exception, "constraint_name", None) != "audit_details_size_check":
            raise
        raise DetailsTooLarge([("body", "details")]) from None
