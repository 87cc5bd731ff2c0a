"""Recomputes the Merkle tree from its entries, and compares it with the tiles as they are stored.

The tree is read in subtrees of 65,536 entries, each under one tile of level 1. Where an incremental check does not want
the entries under a tile of level 0, the hash of that tile is taken from level 1: the root shows whether it is right.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.database import driver_connection
from src.ledger.chains import Finding, Wanted
from src.ledger.entries import encode_entry
from src.ledger.merkle import HASH_BYTES, Node, Range, hash_leaf, hash_perfect, join, perfect_subtrees
from src.ledger.storage import read_tiles
from src.ledger.tiles import WIDTH, TileId, TilePath, grow, hashes_of, split_hashes
from src.statement import Statement

SUBTREE = WIDTH**2
_NO_HASH = bytes(HASH_BYTES)
_ENTRIES = Statement(
    text("""
    SELECT index, audit_id, version, operation, hash FROM ledger_entry
    WHERE index >= :first AND index < :end AND (
        CAST(:since AS bigint) IS NULL OR (index / 256 + 1) * 256 > CAST(:since AS bigint)
        OR index / 256 % CAST(:parts AS integer) = CAST(:part AS integer)
    )
    ORDER BY index
""")
)
_TILES = text("""
    SELECT level, number, hashes FROM ledger_tile
    WHERE level = 0 AND number >= :first AND number < :end AND (
        CAST(:since AS bigint) IS NULL OR (number + 1) * 256 > CAST(:since AS bigint)
        OR number % CAST(:parts AS integer) = CAST(:part AS integer)
    ) ORDER BY number
""")
_BEYOND = text("""
    (SELECT audit_id, index AS place, NULL AS level, NULL AS number FROM ledger_entry WHERE index >= :size LIMIT 100)
    UNION ALL
    (SELECT NULL, NULL, level, number FROM ledger_tile
        WHERE number * 256.0 >= div(CAST(CAST(:size AS bigint) AS numeric), 256.0 ^ level) LIMIT 100)
""")

_COUNT = text("SELECT count(*) FROM ledger_entry WHERE index < :size")
# The index behind the last entry counts as an entry, so that a gap at the end is found.
_GAPS = text("""
    SELECT before + 1 AS first, index - 1 AS last FROM (
        SELECT index, lag(index, 1, CAST(-1 AS bigint)) OVER (ORDER BY index) AS before FROM (
            SELECT index FROM ledger_entry WHERE index < :size UNION ALL SELECT CAST(:size AS bigint)
        ) AS places
    ) AS neighbours WHERE index > before + 1 ORDER BY index LIMIT 100
""")


class Entry(NamedTuple):
    """The record of an entry, and the hash of its leaf."""

    audit_id: UUID
    leaf: bytes


class Subtree(NamedTuple):
    """65,536 entries, or fewer at the end of the tree; these have no `hash`.

    `beginnings` has the hash of its first entries for each size of a whole tree that ends in this subtree.
    """

    hash: bytes | None
    beginnings: dict[int, bytes]
    findings: list[Finding]


async def check_subtree(
    connection: AsyncConnection, wanted: Wanted, first: int, size: int, sizes: Sequence[int]
) -> Subtree:
    """Check the subtree that begins with entry `first` in a tree of `size`."""
    end = min(first + SUBTREE, size)
    numbers = range(first // WIDTH, -(-end // WIDTH))
    chosen = {"since": wanted.since, "part": wanted.part, "parts": wanted.parts}
    entries = await _fetch_entries(connection, chosen | {"first": first, "end": end})
    of_level_0 = await connection.execute(_TILES, chosen | {"first": numbers.start, "end": numbers.stop})
    stored = {row.number: row.hashes for row in of_level_0}
    above_id = TileId(1, first // SUBTREE)
    above = (await read_tiles(connection, [above_id])).get(above_id, b"")
    findings: list[Finding] = []
    tiles: dict[TileId, bytes] = {}
    hashes = []
    for number in numbers:
        slot = number % WIDTH * HASH_BYTES
        if not wanted.has_tile(number):
            hashes.append(above[slot : slot + HASH_BYTES] or _NO_HASH)
            continue
        indexes = range(number * WIDTH, min((number + 1) * WIDTH, size))
        leaves = [entries[index].leaf if index in entries else _NO_HASH for index in indexes]
        findings += _compare(TileId(0, number), b"".join(leaves), stored.get(number), entries)
        tiles[TileId(0, number % WIDTH)] = b"".join(leaves)
        if len(leaves) == WIDTH:
            hashes.append(hash_perfect(leaves))
    if hashes:
        tiles[TileId(1, 0)] = b"".join(hashes)
        findings += _compare(above_id, tiles[TileId(1, 0)], above or None, {})
    beginnings = {
        each: hashes_of([Range(0, each - first)], tiles)[0] for each in sizes if first < each < first + SUBTREE
    }
    return Subtree(hash_perfect(hashes) if len(hashes) == WIDTH else None, beginnings, findings)


async def _fetch_entries(connection: AsyncConnection, parameters: Mapping[str, Any]) -> dict[int, Entry]:
    """The entries by their index. SQLAlchemy's rows would take longer than asyncpg's."""
    driver = await driver_connection(connection)
    rows = await driver.fetch(_ENTRIES.sql, *_ENTRIES.arguments(parameters))
    return {
        index: Entry(audit_id, hash_leaf(encode_entry(audit_id, version, operation, revision_hash.hex())))
        for index, audit_id, version, operation, revision_hash in rows
    }


def _compare(tile: TileId, computed: bytes, stored: bytes | None, entries: Mapping[int, Entry]) -> Iterator[Finding]:
    """What is wrong with a tile. Each entry whose hash is another one is named by its record."""
    name = f"tile {tile.level}/{TilePath(tile.number)}"
    if stored is None:
        yield Finding("ledger", f"{name} is missing")
    elif stored != computed:
        yield Finding("ledger", f"{name} does not have the hashes of what is below it")
    if tile.level:
        return
    # A missing tile says nothing of its entries. An entry that is missing is a finding in any case.
    hashes = [*split_hashes(computed)]
    kept = [*split_hashes(stored)] if stored and len(stored) % HASH_BYTES == 0 else hashes
    for place, (ours, theirs) in enumerate(zip(hashes, kept, strict=False)):
        index = tile.number * WIDTH + place
        if index not in entries:
            yield Finding("ledger", f"entry {index} is missing")
        elif ours != theirs:
            yield Finding(entries[index].audit_id, f"entry {index} of the ledger has another hash than {name}")


async def check_rest(
    connection: AsyncConnection, wanted: Wanted, size: int, subtrees: Sequence[bytes]
) -> list[Finding]:
    """Check the tiles above all whole subtrees, and, where not every entry is read, that none is missing."""
    gaps = [] if wanted.since is None else await _find_gaps(connection, size)
    return gaps + await _check_above(connection, size, subtrees)


async def _find_gaps(connection: AsyncConnection, size: int) -> list[Finding]:
    """The places before `size` without an entry. Only keys are read."""
    if await connection.scalar(_COUNT, {"size": size}) == size:
        return []
    return [
        Finding("ledger", f"entries {row.first} to {row.last} are missing")
        for row in await connection.execute(_GAPS, {"size": size})
    ]


async def _check_above(connection: AsyncConnection, size: int, subtrees: Sequence[bytes]) -> list[Finding]:
    """Compare the tiles above all whole subtrees with those that are stored, and find what is beyond `size`."""
    above = {TileId(tile.level + 2, tile.number): hashes for tile, hashes in grow(0, {}, subtrees).tiles.items()}
    findings: list[Finding] = []
    for tile, hashes in above.items():
        findings += _compare(tile, hashes, (await read_tiles(connection, [tile])).get(tile), {})
    for row in await connection.execute(_BEYOND, {"size": size}):
        if row.place is not None:
            findings.append(Finding(row.audit_id, f"entry {row.place} is beyond the ledger's size of {size}"))
        else:
            name = f"tile {row.level}/{TilePath(row.number)}"
            findings.append(Finding("ledger", f"{name} is beyond the ledger's size of {size}"))
    return findings


def root(size: int, subtrees: Sequence[bytes], beginnings: Mapping[int, bytes]) -> bytes:
    """The root of a tree of `size`: of whole subtrees, and of the beginning of the next one."""
    whole, rest = divmod(size, SUBTREE)
    hashes = [_hash_of(node, subtrees) for node in perfect_subtrees(Range(0, whole))]
    return join([*hashes, *([beginnings[size]] if rest else [])])


def _hash_of(node: Node, subtrees: Sequence[bytes]) -> bytes:
    return hash_perfect(subtrees[node.number << node.level : (node.number + 1) << node.level])
