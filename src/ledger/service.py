"""Read the ledger: its status, checkpoints, tiles, proofs from tiles, and the feed. No function here commits.

Nothing but the feed goes beyond what was published: the latest checkpoint, or without a key all that is sealed. The
feed shows what is sealed, a moment before it is signed.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import text

from src.audits.constants import Operation
from src.audits.revisions import canonicalize
from src.database import AutocommitConnection
from src.ledger import changes, followers, heads, status, storage, stream
from src.ledger.checkpoints import format_proof
from src.ledger.config import LedgerSettings
from src.ledger.constants import LedgerState
from src.ledger.entries import encode_bundle, encode_entry
from src.ledger.exceptions import LedgerUnsigned, NotSealed, RevisionNotFound, SizeUnknown, TileNotFound
from src.ledger.followers import Followers
from src.ledger.heads import get_head
from src.ledger.merkle import HASH_BYTES, Range, consistency_proof, inclusion_proof
from src.ledger.schemas import (
    ChangesExportQuery,
    ChangesQuery,
    ChangesStreamQuery,
    Consistency,
    LedgerStatus,
    Proof,
    ProofDocument,
)
from src.ledger.tiles import WIDTH, TileId, TilePath, width_at
from src.shaped import Shaped
from src.snapshot import SnapshotConnection
from src.statement import Statement

_BUNDLE = Statement(
    text("""
    SELECT audit_id, version, operation, encode(hash, 'hex') AS hash FROM ledger_entry
    WHERE index >= :first AND index < :end ORDER BY index
""")
)
# The newest version if none is asked for. An entry outlives its revision.
_REVISION = Statement(
    text("""
    WITH wanted AS (
        SELECT CAST(:audit_id AS uuid) AS audit_id, coalesce(CAST(:version AS integer), greatest(
            (SELECT max(version) FROM audit_revision WHERE audit_id = CAST(:audit_id AS uuid)),
            (SELECT max(version) FROM ledger_entry WHERE audit_id = CAST(:audit_id AS uuid))
        )) AS version
    )
    SELECT audit_id, version, coalesce(entry.operation, revision.operation) AS operation,
        revision.changed_at, revision.changed_by, revision.reason, revision.record::text AS record,
        encode(revision.salt, 'hex') AS salt, encode(revision.previous_hash, 'hex') AS previous_hash,
        entry.index AS entry_index, encode(entry.hash, 'hex') AS hash
    FROM wanted
        LEFT JOIN audit_revision AS revision USING (audit_id, version)
        LEFT JOIN ledger_entry AS entry USING (audit_id, version)
    WHERE coalesce(entry.audit_id, revision.audit_id) IS NOT NULL
""")
)

_WHY_NOT_SEALED = {
    LedgerState.OK: "Every revision is sealed within seconds. Ask again shortly.",
    LedgerState.BEHIND: "Sealing is behind. GET /api/v1/ledger says by how many seconds.",
    LedgerState.CLONED: "The database is a copy, and nothing is sealed until the operator has said what it is.",
    LedgerState.FORKED: "The ledger is forked, and nothing is signed until the operator has looked at it.",
}


async def get_status(connection: AutocommitConnection, settings: LedgerSettings) -> LedgerStatus:
    """How far the ledger is. Raises `LedgerMissing`."""
    return await status.get_status(connection, settings)


async def get_checkpoint(connection: AutocommitConnection, settings: LedgerSettings) -> str:
    """The latest checkpoint. Raises `LedgerUnsigned`."""
    note = (await get_head(connection, settings)).note
    if note is None:
        raise LedgerUnsigned(settings.signed_origin)
    return note


async def get_changes(connection: AutocommitConnection, query: ChangesQuery) -> bytes:
    """A page of the feed, as JSON. Raises `LedgerMissing`."""
    return await changes.get_page(connection, query)


async def wait_for_changes(waiting: Followers, query: ChangesQuery) -> bytes:
    """The same, when there is something for it, or when its time is over. Raises `LedgerMissing`."""
    return await followers.wait_for_page(waiting, query)


async def stream_changes(waiting: Followers, query: ChangesStreamQuery) -> AsyncGenerator[changes.Piece]:
    """The feed as a stream. Raises `LedgerMissing`."""
    return await stream.open_stream(waiting, query)


async def export_changes(
    connection: AutocommitConnection, snapshot: SnapshotConnection, query: ChangesExportQuery
) -> AsyncIterator[bytes]:
    """Start an export of all that is sealed by now, and return its chunks: lines of JSON. Raises `LedgerMissing`."""
    size, _ = await heads.get_sealed(connection)
    return await changes.export(snapshot, query, size)


async def get_tile(connection: AutocommitConnection, settings: LedgerSettings, level: int, path: TilePath) -> bytes:
    """The hashes of a tile. Raises `TileNotFound`."""
    tile = TileId(level, path.number)
    await _check_width(connection, settings, tile, path.width)
    tiles = await storage.fetch_tiles(connection, [tile])
    if len(tiles.get(tile, b"")) < path.width * HASH_BYTES:
        raise TileNotFound
    return tiles[tile][: path.width * HASH_BYTES]


async def get_bundle(connection: AutocommitConnection, settings: LedgerSettings, path: TilePath) -> bytes:
    """The entries under a tile of level 0. Raises `TileNotFound`."""
    await _check_width(connection, settings, TileId(0, path.number), path.width)
    first = path.number * WIDTH
    rows = await connection.fetch(_BUNDLE, first=first, end=first + path.width)
    return encode_bundle([encode_entry(*row) for row in rows])


async def _check_width(connection: AutocommitConnection, settings: LedgerSettings, tile: TileId, width: int) -> None:
    size = (await get_head(connection, settings)).size
    if width > width_at(tile, size):
        raise TileNotFound(f"The ledger has {size} entries.")


async def get_consistency(
    connection: AutocommitConnection, settings: LedgerSettings, old: int, new: int | None
) -> Consistency:
    """Show that the ledger of `old` entries is the beginning of that of `new`, or of what was published.

    Raises `SizeUnknown`, `TileLost`.
    """
    head = await get_head(connection, settings)
    new = head.size if new is None else new
    if new > head.size:
        raise SizeUnknown("to", head.size)
    if old > new:
        raise SizeUnknown("from", new)
    roots = [Range(0, old), Range(0, new)]
    old_root, new_root, *hashes = await storage.fetch_hashes(connection, [*roots, *consistency_proof(old, new)])
    return Consistency.model_validate(
        {
            "from": old,
            "to": new,
            "from_root": old_root.hex(),
            "to_root": new_root.hex(),
            "hashes": [each.hex() for each in hashes],
        }
    )


class ProvedRevision(NamedTuple):
    """The row of `_REVISION`: an entry, its revision, or both. Hashes are in hexadecimal digits."""

    audit_id: UUID
    version: int
    operation: str
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    record: str | None
    salt: str | None
    previous_hash: str | None
    entry_index: int | None
    hash: str


async def get_proof(
    connection: AutocommitConnection, settings: LedgerSettings, audit_id: UUID, version: int | None
) -> Shaped[Proof]:
    """Show that a revision is in the ledger: the newest, or that of `version`.

    In its JSON the document is canonical. Raises `RevisionNotFound`, `NotSealed`.
    """
    found = await connection.fetch(_REVISION, audit_id=audit_id, version=version)
    if not found:
        raise RevisionNotFound
    row = ProvedRevision(*found[0])
    head = await get_head(connection, settings)
    if row.entry_index is None or row.entry_index >= head.size:
        raise NotSealed(_WHY_NOT_SEALED[await status.get_state(connection)])
    hashes = await storage.fetch_hashes(connection, inclusion_proof(row.entry_index, head.size))
    document = _document(row)
    entry = encode_entry(row.audit_id, row.version, row.operation, row.hash)
    canonical = None if document is None else canonicalize(document.model_dump(mode="json"))
    proof = Proof(
        audit_id=row.audit_id,
        version=row.version,
        index=row.entry_index,
        size=head.size,
        root=head.root.hex(),
        hashes=[each.hex() for each in hashes],
        entry=entry.decode(),
        document=document,
        checkpoint=head.note,
        tlog_proof=head.note and format_proof(row.entry_index, hashes, head.note, canonical),
    )
    rest = proof.model_dump_json(exclude={"document"})
    return Shaped(proof, f'{rest[:-1]},"document":{(canonical or b"null").decode()}}}')


def _document(row: ProvedRevision) -> ProofDocument | None:
    """What the revision's hash is computed over (src/audits/revisions.py), salt included; None if it was redacted."""
    if row.record is None or row.salt is None or row.changed_at is None:
        return None
    return ProofDocument(
        salt=row.salt,
        previous_hash=row.previous_hash,
        audit_id=row.audit_id,
        version=row.version,
        operation=Operation(row.operation),
        changed_at=row.changed_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        changed_by=row.changed_by,
        reason=row.reason,
        record=from_json(row.record),
    )
