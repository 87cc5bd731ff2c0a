"""Read the ledger: its status, checkpoints, tiles, and proofs from tiles. No function here commits.

What is answered never goes beyond what was published: the latest checkpoint, or without a key all that is sealed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter
from pydantic_core import from_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.audits.constants import Operation
from src.audits.revisions import canonicalize
from src.database import AutocommitConnection
from src.json_numbers import with_exponents
from src.ledger import difference, feed, storage, witnesses
from src.ledger.checkpoints import format_proof
from src.ledger.config import LedgerSettings
from src.ledger.constants import BEHIND_AFTER_SECONDS, UNSEALED_LOOKED_AT, LedgerState, WitnessState
from src.ledger.entries import encode_bundle, encode_entry
from src.ledger.exceptions import LedgerUnsigned, NotSealed, RevisionNotFound, SizeUnknown, TileNotFound
from src.ledger.merkle import EMPTY_ROOT, HASH_BYTES, Range, consistency_proof, inclusion_proof
from src.ledger.schemas import (
    Change,
    ChangesExportQuery,
    ChangesPage,
    ChangesQuery,
    Consistency,
    LastCheckpoint,
    LedgerStatus,
    Proof,
    ProofDocument,
    WitnessStatus,
)
from src.ledger.tiles import WIDTH, TileId, TilePath, hashes_of, needed, width_at
from src.ledger.witnesses import PUBLISHED_AFTER_SECONDS
from src.pagination import Order
from src.shaped import Shaped, json_array
from src.snapshot import SnapshotConnection
from src.statement import Statement

_HEAD = text("SELECT size, root FROM ledger")
_SIGNED_HEAD = text("""
    SELECT size, root, note FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1
""")
# The latest that has its quorum, or that has waited for it long enough.
_WITNESSED_HEAD = text(f"""
    SELECT size, root, note || coalesce(lines, '') AS note FROM ledger_checkpoint AS checkpoint CROSS JOIN LATERAL (
        SELECT count(*) AS cosignatures, string_agg(line, '' ORDER BY witness) AS lines
        FROM ledger_cosignature AS cosignature
        WHERE cosignature.origin = checkpoint.origin AND cosignature.size = checkpoint.size
            AND witness = ANY(CAST(:keys AS text[]))
    ) AS witnessed
    WHERE origin = :origin AND (
        cosignatures >= :quorum OR created_at < now() - interval '{PUBLISHED_AFTER_SECONDS} s'
    )
    ORDER BY size DESC LIMIT 1
""")
_STATUS = text("""
    SELECT origin, size, root, seen::text AS seen, pg_current_snapshot()::text AS now, after_audit_id, after_version,
        target IS NOT NULL AS is_unfinished, forked,
        system_identifier IS NOT NULL AND (
            system_identifier <> (SELECT system_identifier FROM pg_control_system())
            OR database_oid <> (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
        ) AS is_cloned
    FROM ledger
""")
_LAST_CHECKPOINT = text("""
    SELECT size, created_at, (
        SELECT count(*) FROM ledger_cosignature AS cosignature
        WHERE cosignature.origin = :origin AND cosignature.size = ledger_checkpoint.size
            AND witness = ANY(CAST(:keys AS text[]))
    ) AS cosignatures FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1
""")


_HAS_NO_ENTRY = (
    "NOT EXISTS (SELECT FROM ledger_entry AS entry WHERE (entry.audit_id, entry.version) = (r.audit_id, r.version))"
)
# Of the first revisions that wait by the index of their transactions, and of the next ones while many are sealed. Never
# of all that wait: these can be millions.
_OLDEST_UNSEALED = text(f"""
    SELECT min(changed_at) FROM (
        (SELECT * FROM audit_revision WHERE {difference.WAS_IN_FLIGHT} LIMIT {UNSEALED_LOOKED_AT})
        UNION ALL
        (SELECT * FROM audit_revision WHERE {difference.IS_LATER} ORDER BY xid LIMIT {UNSEALED_LOOKED_AT})
        UNION ALL
        (SELECT * FROM (
            SELECT * FROM audit_revision
            WHERE (audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))
                AND CAST(:is_unfinished AS boolean)
            ORDER BY audit_id, version LIMIT {UNSEALED_LOOKED_AT}
        ) AS next WHERE {difference.PREDICATE})
    ) AS r WHERE {_HAS_NO_ENTRY}
""")
# Of the next revisions, where every one is looked at.
_OLDEST_OF_NEXT = text(f"""
    SELECT min(changed_at) FROM (
        SELECT * FROM audit_revision
        WHERE (audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))
        ORDER BY audit_id, version LIMIT {UNSEALED_LOOKED_AT}
    ) AS r WHERE {_HAS_NO_ENTRY}
""")
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

_changes = TypeAdapter(list[Change])

Reader = AutocommitConnection | AsyncConnection


@dataclass(frozen=True)
class Head:
    """The size and the root that were published, and the checkpoint that says so; None without a key."""

    size: int
    root: bytes
    note: str | None


async def get_head(connection: AutocommitConnection, settings: LedgerSettings) -> Head:
    """What was published last. Before the first checkpoint that is the empty ledger."""
    if not settings.ledger_key:
        row = (await connection.execute(_HEAD)).one()
        return Head(row.size, row.root, None)
    parameters: dict[str, Any] = {"origin": settings.ledger_origin}
    if settings.witnesses:
        parameters |= {"quorum": settings.quorum, "keys": [str(witness.key) for witness in settings.witnesses]}
    statement = _WITNESSED_HEAD if settings.witnesses else _SIGNED_HEAD
    last = (await connection.execute(statement, parameters)).first()
    return Head(last.size, last.root, last.note) if last else Head(0, EMPTY_ROOT, None)


async def get_checkpoint(connection: AutocommitConnection, settings: LedgerSettings) -> str:
    """The latest checkpoint. Raises `LedgerUnsigned`."""
    note = (await get_head(connection, settings)).note
    if note is None:
        raise LedgerUnsigned("Without LEDGER_KEY nothing is signed. Proofs, tiles and status are there all the same.")
    return note


async def get_state(connection: AsyncConnection) -> LedgerState:
    """Whether the ledger is sealed as it should be."""
    row = (await connection.execute(_STATUS)).one()
    return _state(row, None if row.is_cloned else await _find_oldest_unsealed(connection, row))


async def get_status(connection: AutocommitConnection, settings: LedgerSettings) -> LedgerStatus:
    row = (await connection.execute(_STATUS)).one()
    keys = [str(witness.key) for witness in settings.witnesses]
    last = (await connection.execute(_LAST_CHECKPOINT, {"origin": settings.ledger_origin, "keys": keys})).first()
    known = await witnesses.read_all(connection, settings.witnesses)
    oldest = None if row.is_cloned else await _find_oldest_unsealed(connection, row)
    return LedgerStatus(
        state=_state(row, oldest),
        origin=settings.ledger_origin,
        size=row.size,
        root=row.root.hex(),
        signed=settings.ledger_key is not None,
        keys=[str(key) for key in settings.verifiers],
        last_checkpoint=last
        and LastCheckpoint(size=last.size, created_at=last.created_at, cosignatures=last.cosignatures),
        oldest_unsealed_seconds=oldest,
        witnesses=[
            WitnessStatus(
                name=witness.key.name,
                url=witness.url,
                last_size=found.size if found else 0,
                state=found.state if found else WitnessState.WAITING,
            )
            for witness in settings.witnesses
            for found in [known.get(str(witness.key))]
        ],
        quorum=settings.quorum,
    )


def _state(row: Row[Any], oldest: float | None) -> LedgerState:
    if row.is_cloned:
        return LedgerState.CLONED
    if row.forked:
        return LedgerState.FORKED
    return LedgerState.BEHIND if oldest is not None and oldest > BEHIND_AFTER_SECONDS else LedgerState.OK


async def _find_oldest_unsealed(connection: Reader, row: Row[Any]) -> float | None:
    """The age in seconds of the oldest revision that waits, among the first ones; None if none does."""
    position = {"after_audit_id": row.after_audit_id, "after_version": row.after_version}
    if row.seen is None:
        oldest = await connection.scalar(_OLDEST_OF_NEXT, position)
    else:
        position |= {"is_unfinished": row.is_unfinished, **difference.parameters(row.seen, row.now)}
        oldest = await connection.scalar(_OLDEST_UNSEALED, position)
    return None if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())


async def get_changes(connection: AutocommitConnection, query: ChangesQuery) -> Shaped[ChangesPage]:
    """A page of the feed: what was sealed behind an index, whatever was recorded, changed or removed meanwhile."""
    size = await get_size(connection)
    begin, end = _looked_at(query, size)
    parameters = feed.parameters(query)
    statement = feed.page_statement(tuple(parameters), query.order)
    (changes,) = await connection.fetch_row(statement, **parameters, begin=begin, end=end, limit=query.limit)
    items = _changes.validate_json(json_array(changes))
    page = ChangesPage(items=items, limit=query.limit, next_after=_next_after(query, items, begin, end), size=size)
    rest = page.model_dump_json(exclude={"items"})
    return Shaped(page, f'{{"items":{json_array(changes)},{rest[1:]}')


def _looked_at(query: ChangesQuery, size: int) -> tuple[int, int]:
    """The first index that a page looks at, and the one behind the last."""
    if query.order is Order.DESC:
        end = size if query.after is None else max(0, min(query.after, size))
        return max(0, end - feed.LOOKED_AT), end
    begin = 0 if query.after is None else query.after + 1
    return begin, min(begin + feed.LOOKED_AT, size)


def _next_after(query: ChangesQuery, items: Sequence[Change], begin: int, end: int) -> int:
    if len(items) == query.limit:
        return items[-1].index
    if query.order is Order.DESC:
        return begin
    # Nothing was looked at where the ledger ends before `begin`.
    return max(begin, end) - 1


async def export_changes(connection: SnapshotConnection, query: ChangesExportQuery, size: int) -> AsyncIterator[bytes]:
    """Start an export of the changes before `size`, and return its chunks: lines of JSON (NDJSON)."""
    parameters = feed.parameters(query)
    begin = 0 if query.after is None else query.after + 1
    statement = feed.export_statement(tuple(parameters))
    await connection.execute(statement, feed.ROWS_PER_FETCH, **parameters, begin=begin, end=size)
    return _write_lines(connection, await connection.fetch())


async def get_size(connection: AutocommitConnection) -> int:
    """How many changes are sealed."""
    return int((await connection.execute(_HEAD)).one().size)


async def _write_lines(connection: SnapshotConnection, fetched: Sequence[asyncpg.Record]) -> AsyncIterator[bytes]:
    while fetched:
        # JSON has no line break, so all rows are one text here.
        text = with_exponents("".join([f"{row[0]}\n" for row in fetched]).encode())
        for character, escaped in feed.LINE_BREAKS.items():
            text = text.replace(character, escaped)
        yield text
        fetched = await connection.fetch()


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

    Raises `SizeUnknown`.
    """
    head = await get_head(connection, settings)
    new = head.size if new is None else new
    if new > head.size:
        raise SizeUnknown("to", head.size)
    if old > new:
        raise SizeUnknown("from", new)
    roots = [Range(0, old), Range(0, new)]
    old_root, new_root, *hashes = await _read_hashes(connection, [*roots, *consistency_proof(old, new)])
    return Consistency.model_validate(
        {
            "from": old,
            "to": new,
            "from_root": old_root.hex(),
            "to_root": new_root.hex(),
            "hashes": [each.hex() for each in hashes],
        }
    )


async def _read_hashes(connection: AutocommitConnection, ranges: list[Range]) -> list[bytes]:
    return hashes_of(ranges, await storage.fetch_tiles(connection, needed(ranges)))


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
        raise NotSealed("Every revision is sealed within seconds. Ask again shortly.")
    hashes = await _read_hashes(connection, inclusion_proof(row.entry_index, head.size))
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
