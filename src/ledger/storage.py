"""Tiles as they are stored."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.database import AutocommitConnection
from src.driver_transaction import DriverTransaction
from src.ledger.merkle import Range
from src.ledger.tiles import TileId, Tiles, hashes_of, needed
from src.statement import Statement

_READ = text("""
    SELECT level, number, hashes FROM ledger_tile
    JOIN unnest(CAST(:levels AS smallint[]), CAST(:numbers AS bigint[])) AS wanted (level, number) USING (level, number)
""")
_FETCH = Statement(_READ)
_WRITE = Statement(
    text("""
    INSERT INTO ledger_tile (level, number, hashes)
    SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:numbers AS bigint[]), CAST(:hashes AS bytea[]))
    ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
""")
)


async def fetch_tiles(connection: AutocommitConnection | DriverTransaction, wanted: Collection[TileId]) -> Tiles:
    """The tiles of those wanted that are there, each as wide as it is by now."""
    if not wanted:
        return {}
    rows = await connection.fetch(_FETCH, **_columns(wanted))
    return {TileId(level, number): hashes for level, number, hashes in rows}


async def fetch_hashes(connection: AutocommitConnection | DriverTransaction, ranges: Iterable[Range]) -> list[bytes]:
    """The hash of each subtree. Raises `TileLost`."""
    wanted = [*ranges]
    return hashes_of(wanted, await fetch_tiles(connection, needed(wanted)))


async def read_tiles(connection: AsyncConnection, wanted: Collection[TileId]) -> Tiles:
    """As `fetch_tiles`, for commands."""
    rows = await connection.execute(_READ, _columns(wanted))
    return {TileId(row.level, row.number): row.hashes for row in rows}


async def write_tiles(connection: DriverTransaction, tiles: Tiles) -> None:
    """Add tiles, or what they have grown by."""
    if tiles:
        await connection.fetch(_WRITE, **_columns(tiles), hashes=[*tiles.values()])


def _columns(tiles: Collection[TileId]) -> dict[str, list[Any]]:
    return {"levels": [tile.level for tile in tiles], "numbers": [tile.number for tile in tiles]}
