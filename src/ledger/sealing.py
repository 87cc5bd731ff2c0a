"""How revisions get their place in the ledger: what is new is found and appended. No function here commits.

New revisions (src/ledger/difference.py) are sealed in the order of record and version. A version is never found before
its predecessor, because whoever wrote it had read that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import text

from src.driver_transaction import DriverTransaction
from src.ledger import difference, ledger_row, storage
from src.ledger.entries import encode_entry
from src.ledger.ledger_row import LedgerRow
from src.ledger.merkle import hash_leaf
from src.ledger.tiles import Growth, grow, right_edge
from src.statement import Statement

# A separate statement, because the one that locks the row may have a snapshot from before the row was last changed. The
# volatile function keeps pgpool from sending it to a standby (ON_PRIMARY in src/audits/statements.py).
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
_IS_ANY_NEW = Statement(text(f"SELECT EXISTS (SELECT FROM audit_revision WHERE {difference.PREDICATE})"))

_ADVANCE = Statement(
    text("""
    UPDATE ledger SET size = :size, root = :root, sealed_at = now(),
        seen = CAST(CAST(:seen AS text) AS pg_snapshot), target = CAST(CAST(:target AS text) AS pg_snapshot),
        after_audit_id = CAST(:after_audit_id AS uuid), after_version = :after_version
""")
)
# The place of the operation in a row of `_append`, behind the two of the key.
_OPERATION = 2
# How many times the limit `_APPEND_MANY` looks at: many of those revisions have entries, or do not wait.
_LOOKED_AT = 10
# Differences of fewer chunks are always read by the index of transactions.
_FEW_CHUNKS = 4


class Position(NamedTuple):
    """The last revision that was looked at on the way to a target."""

    audit_id: UUID
    version: int


_START = Position(UUID(int=0), 0)


@dataclass(frozen=True)
class Sealed:
    """How many entries were added, the new size, and whether more revisions may wait to be looked at.

    `many`: whether so many wait that the next call looks for them by the primary key.
    """

    added: int
    size: int
    more: bool
    many: bool = False


async def seal(connection: DriverTransaction, limit: int, *, many: bool = False) -> Sealed | None:
    """Look for the next `limit` new revisions at most, and add an entry for each.

    `many` is what the last call returned. None if somebody else is sealing. Raises `LedgerCloned`.
    """
    head = await ledger_row.lock(connection)
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


async def is_any_new(connection: DriverTransaction, head: LedgerRow) -> bool:
    """Whether `seal` would find something. It needs no lock."""
    if head.seen is None or head.target is not None:
        return True
    (snapshot,) = await connection.fetch_row(_SNAPSHOT)
    (found,) = await connection.fetch_row(_IS_ANY_NEW, **difference.parameters(head.seen, snapshot))
    return bool(found)


async def _append_entries(
    connection: DriverTransaction, head: LedgerRow, target: str, limit: int, many: bool
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


async def _are_many(connection: DriverTransaction, head: LedgerRow, target: str, limit: int) -> bool:
    """Whether one read of the whole table costs less than to read, for each chunk, all that waits."""
    if head.seen is None:
        return False
    bound = max(limit * _FEW_CHUNKS, isqrt(2 * limit * head.size))
    (waiting,) = await connection.fetch_row(_COUNT, limit=bound, **difference.parameters(head.seen, target))
    return bool(waiting == bound)


async def _add_leaves(connection: DriverTransaction, size: int, leaves: Sequence[bytes]) -> Growth:
    grown = grow(size, await storage.fetch_tiles(connection, right_edge(size)), leaves)
    await storage.write_tiles(connection, grown.tiles)
    return grown
