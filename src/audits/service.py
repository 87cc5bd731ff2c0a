"""Create, read, list, change, remove and export audit records. No function here commits.

A change is written only if the record is still the one that was read: of two writers, one starts again.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.audits import aggregates, filters, listing, statements
from src.audits.aggregate_schemas import Facets, FacetsQuery, Histogram, HistogramQuery, Values, ValuesQuery
from src.audits.batch_schemas import AuditBatch
from src.audits.changes import change_record
from src.audits.constants import Operation
from src.audits.creation import Created, create_records, create_valid_records, find_oversized
from src.audits.exceptions import AuditNotFound, DetailsTooLarge, EventAlreadyRecorded
from src.audits.export import open_export
from src.audits.idempotency import IdempotentRequest
from src.audits.revisions import Attribution, Revision, seal
from src.audits.schemas import (
    Audit,
    AuditCreate,
    AuditDeleted,
    AuditFilter,
    AuditHistory,
    AuditPatch,
    AuditQuery,
    AuditReplace,
    AuditRevision,
    ExportQuery,
    HistoryQuery,
)
from src.audits.statements import READER, StoredAudit
from src.bounded_reads import BoundedReads
from src.database import AutocommitConnection, sqlstate_of
from src.etags import IfMatch
from src.exceptions import AppError
from src.pagination import Count, ShapedPage
from src.shaped import Shaped, json_array
from src.snapshot import SnapshotConnection

# SQLSTATE (PostgreSQL documentation, appendix A).
_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE = "25006", "55P03"
_WRITE_CHECK_LOCK_TIMEOUT_MS = 100

_audits = TypeAdapter(list[Audit])
_revisions = TypeAdapter(list[AuditRevision])
_counts = TypeAdapter(dict[str, int])


@dataclass(frozen=True)
class Sample:
    """The newest matching records, and how many match: in all, by status, and by action for the most frequent ones."""

    audits: list[Audit]
    total: int
    by_action: dict[str, int]
    by_status: dict[str, int]


async def create(
    connection: AutocommitConnection,
    record: AuditCreate,
    attribution: Attribution,
    idempotent: IdempotentRequest | None = None,
) -> Created:
    """Create a record.

    Raises `DetailsTooLarge`, `EventAlreadyRecorded`, `IdempotencyKeyReused`, `Conflict`, `Overloaded`.
    """
    with statements.translate_size_check():
        created = await create_records(connection, [record], attribution, idempotent)
    if created.conflicts:
        raise EventAlreadyRecorded([("body",)])
    return created


async def create_batch(
    connection: AutocommitConnection,
    records: Sequence[AuditCreate],
    attribution: Attribution,
    idempotent: IdempotentRequest | None,
) -> Created:
    """Create all of the records, or none.

    Raises `DetailsTooLarge`, `EventAlreadyRecorded`, `IdempotencyKeyReused`, `Conflict`, `Overloaded`.
    """
    try:
        with statements.translate_size_check():
            created = await create_records(connection, records, attribution, idempotent)
    except DetailsTooLarge:
        positions = await find_oversized(connection, [record.details for record in records])
        raise DetailsTooLarge([("body", "items", position, "details") for position in positions]) from None
    if created.conflicts:
        raise EventAlreadyRecorded([("body", "items", position) for position in created.conflicts])
    return created


async def create_partial_batch(
    connection: AutocommitConnection,
    batch: AuditBatch,
    attribution: Attribution,
    idempotent: IdempotentRequest | None,
    describe: Callable[[AppError], str],
) -> Created:
    """Create the valid records, all in one transaction. `describe` writes, as JSON, the answer to an invalid one.

    Raises `IdempotencyKeyReused`, `Conflict`, `Overloaded`.
    """
    return await create_valid_records(connection, batch, attribution, idempotent, describe)


async def get(connection: AutocommitConnection, audit_id: UUID) -> Shaped[StoredAudit]:
    """Read a record. Raises `AuditNotFound`."""
    found = await connection.fetch_column(statements.GET, audit_id=audit_id)
    if not found:
        raise AuditNotFound
    return _shaped(found[0])


def _shaped(record: str) -> Shaped[StoredAudit]:
    (stored,) = READER.read([record])
    return Shaped(stored, record)


async def find(connection: AutocommitConnection, query: AuditQuery) -> ShapedPage:
    """Read a page of records and their total, from one snapshot. Raises `InvalidCursor`."""
    position = listing.decode_list_cursor(query)
    parameters = listing.page_parameters(query, position)
    statement = listing.page_statement(tuple(parameters), query.order, query.count)
    records, counted = await connection.fetch_row(statement, **parameters)
    found = READER.read(records)
    has_next = len(found) > query.limit
    next_cursor = listing.encode_list_cursor(query, found[query.limit - 1]) if has_next else None
    return ShapedPage.of(records[: query.limit], query, counted, query.count, next_cursor)


async def sample(connection: AutocommitConnection, wanted: AuditFilter, limit: int) -> Sample:
    """Read the newest matching records, at most `limit` of them, and the counts of all, from one snapshot."""
    parameters = filters.parameters(wanted) | {"limit": limit}
    records, *counts = await connection.fetch_row(listing.sample_statement(tuple(parameters)), **parameters)
    by_action, by_status = map(_counts.validate_json, counts)
    return Sample(_audits.validate_json(json_array(records)), sum(by_status.values()), by_action, by_status)


async def get_histogram(reads: BoundedReads, query: HistogramQuery) -> Histogram:
    """Count what matches, by time. Raises `DatabaseTimeout`."""
    return await aggregates.get_histogram(reads, query)


async def get_facets(reads: BoundedReads, query: FacetsQuery) -> Facets:
    """Count the commonest values of a field among what matches. Raises `DatabaseTimeout`."""
    return await aggregates.get_facets(reads, query)


async def get_values(reads: BoundedReads, query: ValuesQuery) -> Values:
    """Read the first values of a field that begin with a prefix. Raises `DatabaseTimeout`."""
    return await aggregates.get_values(reads, query)


async def get_history(connection: AutocommitConnection, audit_id: UUID, query: HistoryQuery) -> AuditHistory:
    """Read a page of revisions, newest first. A removed record has a history too.

    Raises `AuditNotFound`, `InvalidCursor`.
    """
    before = listing.decode_history_cursor(audit_id, query)
    parameters = listing.history_parameters(audit_id, query, before)
    revisions, counted = await connection.fetch_row(listing.HISTORY, **parameters)
    if not counted:
        raise AuditNotFound
    items = _revisions.validate_json(json_array(revisions))
    return AuditHistory.of(items, query, counted, Count.EXACT, partial(listing.encode_history_cursor, audit_id))


async def replace(
    connection: AutocommitConnection,
    audit_id: UUID,
    record: AuditReplace,
    attribution: Attribution,
    if_match: IfMatch | None,
) -> Shaped[StoredAudit]:
    """Replace all fields of a record. Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`."""
    return await _update(connection, audit_id, record.model_dump(), attribution, if_match)


async def patch(
    connection: AutocommitConnection,
    audit_id: UUID,
    changes: AuditPatch,
    attribution: Attribution,
    if_match: IfMatch | None,
) -> Shaped[StoredAudit]:
    """Change the given fields of a record. Two patches of different fields at the same time both take effect.

    Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`.
    """
    return await _update(connection, audit_id, changes.model_dump(), attribution, if_match)


async def _update(
    connection: AutocommitConnection,
    audit_id: UUID,
    fields: dict[str, Any],
    attribution: Attribution,
    if_match: IfMatch | None,
) -> Shaped[StoredAudit]:
    def change(audit: Audit, last_hash: bytes | None) -> Revision:
        now = _now_not_before(audit.updated_at)
        changed = audit.model_copy(update=fields | {"version": audit.version + 1, "updated_at": now})
        return seal(changed.model_dump(mode="json"), Operation.UPDATE, attribution, now, last_hash)

    _, record = await change_record(connection, audit_id, if_match, change, statements.UPDATE)
    return _shaped(record)


async def remove(
    connection: AutocommitConnection, audit_id: UUID, attribution: Attribution, if_match: IfMatch | None
) -> AuditDeleted:
    """Delete a record, and keep its history. Raises `AuditNotFound`, `VersionMismatch`."""

    def change(audit: Audit, last_hash: bytes | None) -> Revision:
        now = _now_not_before(audit.updated_at)
        return seal(audit.model_dump(mode="json"), Operation.DELETE, attribution, now, last_hash)

    revision, _ = await change_record(connection, audit_id, if_match, change, statements.DELETE)
    return AuditDeleted(id=audit_id, version=revision.version, deleted_at=revision.changed_at)


def _now_not_before(last_change: datetime) -> datetime:
    """The current time, but at least `last_change`: another host, whose clock is ahead, may have made that change."""
    return max(clock.now(), last_change)


async def accepts_writes(connection: AsyncConnection) -> bool:
    """Whether the database accepts writes: a standby does not, nor does one with default_transaction_read_only.

    The check writes no row. It must be a write all the same: a balancer such as pgpool sends a SELECT to a standby.
    If somebody has locked the table, the answer is yes.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = {_WRITE_CHECK_LOCK_TIMEOUT_MS}"))
    try:
        await connection.execute(statements.WRITE_NOTHING)
    except DBAPIError as error:
        sqlstate = sqlstate_of(error)
        if sqlstate not in (_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE):
            raise
        return sqlstate == _LOCK_NOT_AVAILABLE
    return True


async def export(connection: SnapshotConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """Start an export of all matching records, and return its chunks."""
    return await open_export(connection, query)
