"""Revisions written by SQL, and what must hold of the ledger at any time."""

import secrets
from uuid import UUID, uuid4

import asyncpg

from src.ledger.entries import encode_entry
from src.ledger.tiles import TileId, grow
from tests.ledger.rfc9162 import leaf

_INSERT = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    VALUES ($1, $2, $3, now(), '{}', '', $4)
"""


async def write(connection: asyncpg.Connection, audit_id: UUID | None = None, version: int = 1) -> UUID:
    """Insert a revision. Returns the record's id."""
    audit_id = audit_id or uuid4()
    operation = "create" if version == 1 else "update"
    await connection.execute(_INSERT, audit_id, version, operation, secrets.token_bytes(32))
    return audit_id


async def entries(connection: asyncpg.Connection) -> list[tuple[UUID, int]]:
    """The record and the version of each entry, in their order."""
    rows = await connection.fetch("SELECT audit_id, version FROM ledger_entry ORDER BY index")
    return [tuple(row) for row in rows]


async def check_ledger(connection: asyncpg.Connection) -> int:
    """Entries are without a gap and equal revisions, versions are in order, and tiles and root are theirs.

    Returns how many revisions have no entry.
    """
    async with connection.transaction(isolation="repeatable_read"):
        (head,) = await connection.fetch("SELECT size, root FROM ledger")
        found = await connection.fetch("SELECT * FROM ledger_entry ORDER BY index")
        tiles = await connection.fetch("SELECT level, number, hashes FROM ledger_tile")
        revisions = {
            (row["audit_id"], row["version"]): (row["operation"], row["hash"])
            for row in await connection.fetch("SELECT audit_id, version, operation, hash FROM audit_revision")
        }
    assert [row["index"] for row in found] == [*range(head["size"])]
    versions = dict[UUID, int]()
    for row in found:
        assert revisions.pop((row["audit_id"], row["version"])) == (row["operation"], row["hash"])
        assert row["version"] == versions.get(row["audit_id"], 0) + 1
        versions[row["audit_id"]] = row["version"]
    grown = grow(
        0,
        {},
        [leaf(encode_entry(row["audit_id"], row["version"], row["operation"], row["hash"].hex())) for row in found],
    )
    assert (grown.size, grown.root) == tuple(head)
    assert grown.tiles == {TileId(row["level"], row["number"]): row["hashes"] for row in tiles}
    return len(revisions)
