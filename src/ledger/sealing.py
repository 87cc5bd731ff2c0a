"""How revisions get their place in the ledger: what is new is found, appended and signed. No function here commits.

Revisions that are new (src/ledger/difference.py) are sealed by record and version. A version is never found earlier
than the one before, since whoever wrote it has read that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import text

from src.driver_transaction import DriverTransaction
from src.ledger import difference, storage
from src.ledger.checkpoints import Checkpoint
from src.ledger.entries import encode_entry
from src.ledger.exceptions import LedgerCloned, OriginChanged
from src.ledger.merkle import hash_leaf
from src.ledger.notes import SignerKey, sign_note, sign_too
from src.ledger.tiles import Growth, grow, right_edge
from src.statement import Statement

# Whoever has the row seals; others leave it to them. A commit that is lost in a crash must not have been published: no
# `synchronous_commit` of the role or the database holds here that waits for less than the disk, and the standby's.
# The timeline is that of the WAL: after a promotion, pg_control_checkpoint() names the old one for minutes.
_LOCK = Statement(
    text("""
    SELECT origin, size, root, seen::text AS seen, target::text AS target, after_audit_id, after_version,
        system_identifier, database_oid, timeline_id, forked, logged_size,
        (SELECT system_identifier FROM pg_control_system()) AS this_system_identifier,
        (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS this_database_oid,
        CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS integer) AS this_timeline_id,
        CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
            THEN set_config('synchronous_commit', 'on', true) END
    FROM ledger FOR UPDATE SKIP LOCKED
""")
)
# A statement of its own: the one that takes the row may have a snapshot from before it was changed. The function that
# is volatile keeps pgpool from sending it to a standby (ON_PRIMARY in src/audits/statements.py).
_SNAPSHOT = Statement(text("SELECT pg_current_snapshot()::text WHERE pg_is_in_recovery() IS NOT NULL"))


def _append(looked_at: str) -> Statement:
    """Looks at the next revisions, and makes an entry of each that has none.

    `looked_at` selects them in the order of the primary key, and whether each `is_in` the difference.
    """
    return Statement(
        text(f"""
        WITH looked_at AS MATERIALIZED ({looked_at}), candidate AS MATERIALIZED (
            -- In the order of looked_at, which is read no further than needed.
            SELECT * FROM looked_at WHERE is_in LIMIT :limit
        ), ranked AS MATERIALIZED (
            -- OFFSET 0: each is looked up by its key. PostgreSQL would make a hash table of all entries.
            SELECT candidate.*, entry.version IS NULL AS is_new FROM candidate LEFT JOIN LATERAL (
                SELECT version FROM ledger_entry
                WHERE ledger_entry.audit_id = candidate.audit_id AND ledger_entry.version = candidate.version OFFSET 0
            ) AS entry ON true
        ), appended AS (
            INSERT INTO ledger_entry (index, audit_id, version, operation, hash)
            SELECT CAST(:size AS bigint) - 1 + row_number() OVER (ORDER BY audit_id, version),
                audit_id, version, operation, hash
            FROM ranked WHERE is_new
        )
        (SELECT audit_id, version, operation, hash, is_new FROM ranked
            ORDER BY audit_id, version)
        UNION ALL
        -- Where nothing more is found, the last row says how far the search went.
        (SELECT audit_id, version, NULL, NULL, false FROM looked_at
            WHERE (SELECT count(*) FROM ranked) < :limit AND (SELECT count(*) FROM looked_at) = :looked_at
            ORDER BY audit_id DESC, version DESC LIMIT 1)
    """)
    )


_COLUMNS = "SELECT audit_id, version, operation, hash"
_BEHIND = "(audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))"
_NEXT = "ORDER BY audit_id, version LIMIT :looked_at"
# By the index of transactions: all that waits is read each time, so this is for a few thousand. OFFSET 0 keeps
# PostgreSQL from reading the whole table by its primary key instead.
_APPEND_FEW = _append(f"""
    SELECT * FROM ({_COLUMNS}, true AS is_in FROM audit_revision WHERE {difference.PREDICATE} AND {_BEHIND} OFFSET 0)
    AS waiting {_NEXT}
""")
# By the primary key: each revision behind the position is read once, whether it waits or not.
_APPEND_MANY = _append(
    f"{_COLUMNS}, coalesce({difference.PREDICATE}, false) AS is_in FROM audit_revision WHERE {_BEHIND} {_NEXT}"
)
# Of a ledger that has seen nothing, or not in this cluster.
_APPEND_ANY = _append(f"{_COLUMNS}, true AS is_in FROM audit_revision WHERE {_BEHIND} {_NEXT}")
# PostgreSQL would rather sort the whole table each time, where it has no statistics yet.
_ALONG_THE_KEY = Statement(
    text("SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)")
)
_COUNT = Statement(
    text(f"""
    SELECT count(*) FROM (SELECT FROM audit_revision WHERE {difference.PREDICATE} LIMIT :limit) AS waiting
""")
)

_ADVANCE = Statement(
    text("""
    UPDATE ledger SET size = :size, root = :root, sealed_at = now(),
        seen = CAST(CAST(:seen AS text) AS pg_snapshot), target = CAST(CAST(:target AS text) AS pg_snapshot),
        after_audit_id = CAST(:after_audit_id AS uuid), after_version = :after_version
""")
)
_IDENTIFY = Statement(
    text("""
    UPDATE ledger SET system_identifier = :system_identifier, database_oid = :database_oid, timeline_id = :timeline_id
""")
)
_NAME = Statement(text("UPDATE ledger SET origin = :origin"))
_HAS_SIGNED = Statement(text("SELECT EXISTS (SELECT FROM ledger_checkpoint WHERE origin = :origin AND size > 0)"))
_NOTE = Statement(text("SELECT note FROM ledger_checkpoint WHERE origin = :origin AND size = :size"))
_ADD_SIGNATURES = Statement(
    text("UPDATE ledger_checkpoint SET note = note || CAST(:lines AS text) WHERE origin = :origin AND size = :size")
)
_KEEP_CHECKPOINT = Statement(
    text("""
    INSERT INTO ledger_checkpoint (origin, size, root, note) VALUES (:origin, :size, :root, :note)
""")
)
_UNLOGGED = Statement(
    text("""
    SELECT size, note FROM ledger_checkpoint WHERE origin = :origin AND size > :logged_size ORDER BY size
""")
)
_LOGGED = Statement(text("UPDATE ledger SET logged_size = :size"))

# Where the operation stands in what `_append` selects, behind the key.
_OPERATION = 2
# How many more revisions are looked at than made entries of, where many have entries or do not wait.
_LOOKED_AT = 10
# Differences of fewer chunks are always read by the index of transactions.
_FEW_CHUNKS = 4


class _Head(NamedTuple):
    """The row of `ledger`, as `_LOCK` reads it, and which database this is."""

    origin: str | None
    size: int
    root: bytes
    seen: str | None
    target: str | None
    after_audit_id: UUID
    after_version: int
    system_identifier: int | None
    database_oid: int | None
    timeline_id: int | None
    forked: str | None
    logged_size: int
    this_system_identifier: int
    this_database_oid: int
    this_timeline_id: int
    synchronous_commit: str | None


class Position(NamedTuple):
    """The last revision that was looked at on the way to a target."""

    audit_id: UUID
    version: int


_START = Position(UUID(int=0), 0)


@dataclass(frozen=True)
class Sealed:
    """How many entries were added, the new size, and whether more revisions may wait to be looked at.

    `many`: whether so many wait that they are looked for by the primary key. It is for the next call.
    """

    added: int
    size: int
    more: bool
    many: bool = False


@dataclass(frozen=True)
class Signed:
    """What came of signing: the new checkpoint, if there is one, and whether checkpoints wait to be logged.

    `new_timeline`: a standby or a copy has taken over. `forked`: who knows another tree; then nothing is signed.
    """

    note: str | None = None
    unlogged: bool = False
    new_timeline: int | None = None
    forked: str | None = None


async def seal(connection: DriverTransaction, limit: int, *, many: bool = False) -> Sealed | None:
    """Look for the next `limit` new revisions at most, and add an entry for each.

    `many` is what the last call returned. None if somebody else is sealing. Raises `LedgerCloned`.
    """
    head = await _lock(connection)
    if head is None:
        return None
    target = head.target or (await connection.fetch_row(_SNAPSHOT))[0]
    rows = await _append_entries(connection, head, target, limit, many and head.target is not None)
    if not rows and head.target is None and head.seen is not None:
        return Sealed(0, head.size, more=False)
    # The last row can say only how far the search went.
    found = rows if rows and rows[-1][_OPERATION] is not None else rows[:-1]
    unfinished = len(found) == limit or len(rows) > len(found)
    leaves = [
        hash_leaf(encode_entry(audit_id, version, operation, revision_hash.hex()))
        for audit_id, version, operation, revision_hash, is_new in found
        if is_new
    ]
    grown = await _add_leaves(connection, head.size, leaves)
    position = Position(*rows[-1][:_OPERATION]) if unfinished else _START
    await connection.fetch(
        _ADVANCE,
        size=grown.size,
        root=grown.root,
        seen=head.seen if unfinished else target,
        target=target if unfinished else None,
        after_audit_id=position.audit_id,
        after_version=position.version,
    )
    many = unfinished and (many or await _are_many(connection, head, target, limit))
    # A target from an earlier transaction is older than what has been committed since.
    return Sealed(len(leaves), grown.size, more=unfinished or head.target is not None, many=many)


async def sign(
    connection: DriverTransaction, origin: str, keys: Sequence[SignerKey], *, asks_first: bool = False
) -> Signed | None:
    """Sign the ledger as it was committed, unless that was done. None if somebody else is sealing.

    `asks_first`: after a standby or a copy has taken over, nothing is signed until `src.ledger.witnesses` has asked.
    Raises `LedgerCloned`, `OriginChanged`.
    """
    head = await _lock(connection)
    if head is None:
        return None
    if head.origin is None:
        await connection.fetch(_NAME, origin=origin)
    elif head.origin != origin:
        raise OriginChanged(head.origin)
    if head.forked:
        return Signed(forked=head.forked)
    new_timeline = None if head.timeline_id in (None, head.this_timeline_id) else head.this_timeline_id
    if new_timeline and asks_first and (await connection.fetch_row(_HAS_SIGNED, origin=origin))[0]:
        return Signed(new_timeline=new_timeline)
    if new_timeline:
        await _identify(connection, head)
    if kept := await connection.fetch(_NOTE, origin=origin, size=head.size):
        await _add_signatures(connection, origin, head.size, sign_too(kept[0][0], keys))
        return Signed(None, head.logged_size < head.size, new_timeline)
    note = sign_note(str(Checkpoint(origin, head.size, head.root)), keys)
    await connection.fetch(_KEEP_CHECKPOINT, origin=origin, size=head.size, root=head.root, note=note)
    return Signed(note, unlogged=True, new_timeline=new_timeline)


async def _add_signatures(connection: DriverTransaction, origin: str, size: int, lines: str) -> None:
    """Those of keys that are new since the checkpoint was signed."""
    if lines:
        await connection.fetch(_ADD_SIGNATURES, origin=origin, size=size, lines=lines)


async def take_unlogged(connection: DriverTransaction, origin: str) -> list[str]:
    """The checkpoints that no process has logged. The caller logs them and then commits: none is lost."""
    head = await _lock(connection)
    if head is None:
        return []
    rows = await connection.fetch(_UNLOGGED, origin=origin, logged_size=head.logged_size)
    if rows:
        await connection.fetch(_LOGGED, size=rows[-1]["size"])
    return [row["note"] for row in rows]


async def _lock(connection: DriverTransaction) -> _Head | None:
    """The row of `ledger`, locked; None if somebody else has it. Raises `LedgerCloned`."""
    rows = await connection.fetch(_LOCK)
    if not rows:
        return None
    head = _Head(*rows[0])
    known = (head.system_identifier, head.database_oid)
    if known == (None, None):
        await _identify(connection, head)
    elif known != (head.this_system_identifier, head.this_database_oid):
        raise LedgerCloned
    return head


async def _identify(connection: DriverTransaction, head: _Head) -> None:
    await connection.fetch(
        _IDENTIFY,
        system_identifier=head.this_system_identifier,
        database_oid=head.this_database_oid,
        timeline_id=head.this_timeline_id,
    )


async def _append_entries(
    connection: DriverTransaction, head: _Head, target: str, limit: int, many: bool
) -> list[asyncpg.Record]:
    """The revisions that were found, and perhaps one more: the last that was looked at.

    The statement sees all that `target` sees, since it begins later.
    """
    parameters = {
        "after_audit_id": head.after_audit_id,
        "after_version": head.after_version,
        "limit": limit,
        "looked_at": limit * _LOOKED_AT if many else limit,
        "size": head.size,
    }
    if many or head.seen is None:
        await connection.fetch(_ALONG_THE_KEY)
    if head.seen is None:
        return await connection.fetch(_APPEND_ANY, **parameters)
    parameters |= difference.parameters(head.seen, target)
    return await connection.fetch(_APPEND_MANY if many else _APPEND_FEW, **parameters)


async def _are_many(connection: DriverTransaction, head: _Head, target: str, limit: int) -> bool:
    """Whether to read the whole table once costs less than to read what waits once for each chunk."""
    if head.seen is None:
        return False
    bound = max(limit * _FEW_CHUNKS, isqrt(2 * limit * head.size))
    (waiting,) = await connection.fetch_row(_COUNT, limit=bound, **difference.parameters(head.seen, target))
    return bool(waiting == bound)


async def _add_leaves(connection: DriverTransaction, size: int, leaves: Sequence[bytes]) -> Growth:
    grown = grow(size, await storage.fetch_tiles(connection, right_edge(size)), leaves)
    await storage.write_tiles(connection, grown.tiles)
    return grown
