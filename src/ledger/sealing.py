"""How revisions get their place in the ledger: what is new is found, appended and signed. No function here commits.

Revisions that are new (src/ledger/difference.py) are sealed by record and version. A version is never found earlier
than the one before, since whoever wrote it has read that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from src.database import TransactionConnection
from src.ledger import difference, storage
from src.ledger.checkpoints import Checkpoint
from src.ledger.entries import encode_entry
from src.ledger.exceptions import LedgerCloned, OriginChanged
from src.ledger.merkle import hash_leaf
from src.ledger.notes import SignerKey, sign_note
from src.ledger.tiles import Growth, grow, right_edge

# Whoever has the row seals; others leave it to them.
_LOCK = text("""
    SELECT origin, size, root, seen::text AS seen, target::text AS target, after_audit_id, after_version,
        system_identifier, database_oid, timeline_id,
        (SELECT system_identifier FROM pg_control_system()) AS this_system_identifier,
        (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS this_database_oid,
        (SELECT timeline_id FROM pg_control_checkpoint()) AS this_timeline_id
    FROM ledger FOR UPDATE SKIP LOCKED
""")  # A statement of its own: the one that waits for the row may have a snapshot from before it was changed.
_SNAPSHOT = text("SELECT pg_current_snapshot()::text")


def _append(predicate: str) -> TextClause:
    """Looks at the next revisions, and makes an entry of each that has none."""
    return text(f"""
        WITH candidate AS MATERIALIZED (
            SELECT audit_id, version, operation, hash FROM audit_revision
            WHERE (audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))
                AND {predicate}
            ORDER BY audit_id, version LIMIT :limit
        ), ranked AS MATERIALIZED (
            SELECT *, NOT EXISTS (
                SELECT FROM ledger_entry AS entry
                WHERE entry.audit_id = candidate.audit_id AND entry.version = candidate.version
            ) AS is_new FROM candidate
        ), appended AS (
            INSERT INTO ledger_entry (index, audit_id, version, operation, hash)
            SELECT CAST(:size AS bigint) - 1 + row_number() OVER (ORDER BY audit_id, version),
                audit_id, version, operation, hash
            FROM ranked WHERE is_new
        )
        SELECT audit_id, version, operation, encode(hash, 'hex') AS hash, is_new FROM ranked ORDER BY audit_id, version
    """)


_APPEND_DIFFERENCE = _append(difference.PREDICATE)
# Of a ledger that has seen nothing, or not in this cluster.
_APPEND_ANY = _append("true")

_ADVANCE = text("""
    UPDATE ledger SET size = :size, root = :root, sealed_at = now(),
        seen = CAST(CAST(:seen AS text) AS pg_snapshot), target = CAST(CAST(:target AS text) AS pg_snapshot),
        after_audit_id = CAST(:after_audit_id AS uuid), after_version = :after_version
""")
_IDENTIFY = text("""
    UPDATE ledger SET system_identifier = :system_identifier, database_oid = :database_oid, timeline_id = :timeline_id
""")
_NAME = text("UPDATE ledger SET origin = :origin")
_IS_SIGNED = text("SELECT EXISTS (SELECT FROM ledger_checkpoint WHERE origin = :origin AND size = :size)")
_KEEP_CHECKPOINT = text("""
    INSERT INTO ledger_checkpoint (origin, size, root, note) VALUES (:origin, :size, :root, :note)
""")


class Position(NamedTuple):
    """The last revision that was looked at on the way to a target."""

    audit_id: UUID
    version: int


_START = Position(UUID(int=0), 0)


@dataclass(frozen=True)
class Sealed:
    """How many entries were added, the new size, and whether more revisions may wait to be looked at."""

    added: int
    size: int
    more: bool


async def seal(connection: TransactionConnection, limit: int) -> Sealed | None:
    """Look at the next `limit` revisions at most, and add an entry for each new one.

    None if somebody else is sealing. Raises `LedgerCloned`.
    """
    head = await _lock(connection)
    if head is None:
        return None
    target = head.target or await connection.scalar(_SNAPSHOT)
    rows = await _append_entries(connection, head, target, limit)
    unfinished = len(rows) == limit
    if not rows and head.target is None and head.seen is not None:
        return Sealed(0, head.size, more=False)
    leaves = [hash_leaf(encode_entry(row.audit_id, row.version, row.operation, row.hash)) for row in rows if row.is_new]
    grown = await _add_leaves(connection, head.size, leaves)
    position = Position(rows[-1].audit_id, rows[-1].version) if unfinished else _START
    await connection.execute(
        _ADVANCE,
        {
            "size": grown.size,
            "root": grown.root,
            "seen": head.seen if unfinished else target,
            "target": target if unfinished else None,
            "after_audit_id": position.audit_id,
            "after_version": position.version,
        },
    )
    # A target from an earlier transaction is older than what has been committed since.
    return Sealed(len(leaves), grown.size, more=unfinished or head.target is not None)


async def sign(connection: TransactionConnection, origin: str, keys: Sequence[SignerKey]) -> str | None:
    """Sign the ledger as it was committed, unless that was done. Returns the new checkpoint, a signed note.

    Raises `LedgerCloned`, `OriginChanged`.
    """
    head = await _lock(connection)
    if head is None:
        return None
    if head.origin is None:
        await connection.execute(_NAME, {"origin": origin})
    elif head.origin != origin:
        raise OriginChanged(head.origin)
    if await connection.scalar(_IS_SIGNED, {"origin": origin, "size": head.size}):
        return None
    note = sign_note(str(Checkpoint(origin, head.size, head.root)), keys)
    await connection.execute(_KEEP_CHECKPOINT, {"origin": origin, "size": head.size, "root": head.root, "note": note})
    return note


async def _lock(connection: TransactionConnection) -> Row[Any] | None:
    """The row of `ledger`, locked; None if somebody else has it. Raises `LedgerCloned`."""
    head = (await connection.execute(_LOCK)).first()
    if head is None:
        return None
    known = (head.system_identifier, head.database_oid)
    if known == (None, None):
        await _identify(connection, head)
    elif known != (head.this_system_identifier, head.this_database_oid):
        raise LedgerCloned
    elif head.timeline_id != head.this_timeline_id:
        # A standby has taken over.
        await _identify(connection, head)
    return head


async def _identify(connection: TransactionConnection, head: Row[Any]) -> None:
    identity = {
        "system_identifier": head.this_system_identifier,
        "database_oid": head.this_database_oid,
        "timeline_id": head.this_timeline_id,
    }
    await connection.execute(_IDENTIFY, identity)


async def _append_entries(
    connection: TransactionConnection, head: Row[Any], target: str, limit: int
) -> Sequence[Row[Any]]:
    """The revisions that were looked at. The statement sees all that `target` sees, since it begins later."""
    parameters = {
        "after_audit_id": head.after_audit_id,
        "after_version": head.after_version,
        "limit": limit,
        "size": head.size,
    }
    if head.seen is None:
        return (await connection.execute(_APPEND_ANY, parameters)).all()
    parameters |= difference.parameters(head.seen, target)
    return (await connection.execute(_APPEND_DIFFERENCE, parameters)).all()


async def _add_leaves(connection: TransactionConnection, size: int, leaves: Sequence[bytes]) -> Growth:
    grown = grow(size, await storage.read_tiles(connection, right_edge(size)), leaves)
    await storage.write_tiles(connection, grown.tiles)
    return grown
