"""Changes in the order of the ledger: pages and exports of what is sealed. No function here commits."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import asyncpg
from pydantic import TypeAdapter

from src.database import AutocommitConnection
from src.json_numbers import with_exponents
from src.ledger import feed, heads
from src.ledger.schemas import Change, ChangeFilter, ChangesExportQuery, ChangesQuery
from src.pagination import Order
from src.shaped import escape_line_breaks, json_array
from src.snapshot import SnapshotConnection

_changes = TypeAdapter(list[Change])


@dataclass(frozen=True, slots=True)
class Piece:
    """Some changes: the index of each, each as one line of JSON, and the index that was looked at last."""

    indexes: Sequence[int]
    lines: Sequence[bytes]
    last: int


async def get_page(connection: AutocommitConnection, query: ChangesQuery) -> bytes:
    """A page of the feed as JSON: what was sealed behind an index, whatever was changed or removed meanwhile.

    Raises `LedgerMissing`.
    """
    size, _ = await heads.get_sealed(connection)
    if query.order is Order.ASC:
        return page(await read(connection, query, first_index(query), size, query.limit), query.limit, size)
    end = size if query.after in (None, -1) else min(query.after or 0, size)
    begin = max(0, end - feed.LOOKED_AT)
    found = await _read(connection, query, Order.DESC, begin, end, query.limit)
    last = found.indexes[-1] if len(found.indexes) == query.limit else begin
    if begin == end:
        last = -1 if query.after is None else query.after
    return page(Piece(found.indexes, found.lines, last), query.limit, size)


def first_index(query: ChangeFilter) -> int:
    """The first index that a query asks for, in the order of the ledger."""
    return 0 if query.after is None else query.after + 1


def page(piece: Piece, limit: int, size: int) -> bytes:
    """A `ChangesPage` as JSON."""
    return b'{"items":[%s],"limit":%d,"next_after":%d,"size":%d}' % (b",".join(piece.lines), limit, piece.last, size)


async def read(connection: AutocommitConnection, wanted: ChangeFilter, begin: int, size: int, limit: int) -> Piece:
    """The first changes from `begin` on that match, of a ledger of this size. It looks at `feed.LOOKED_AT` at most.

    After a failover `size` can be larger than the ledger is by now: entries that are not there were not looked at.
    """
    end = min(begin + feed.LOOKED_AT, size)
    if begin >= end:
        return Piece([], [], begin - 1)
    return await _read(connection, wanted, Order.ASC, begin, end, limit)


async def _read(
    connection: AutocommitConnection, wanted: ChangeFilter, order: Order, begin: int, end: int, limit: int
) -> Piece:
    parameters = feed.parameters(wanted)
    statement = feed.page_statement(tuple(parameters), order)
    found, last = await connection.fetch_row(statement, **parameters, begin=begin, end=end, limit=limit)
    indexes = [change.index for change in _changes.validate_json(json_array(found))]
    lines = _as_lines(found).split(b"\n")[:-1]
    if len(indexes) == limit:
        last = indexes[-1]
    return Piece(indexes, lines, begin - 1 if last is None else last)


def _as_lines(changes: Sequence[str]) -> bytes:
    # JSON has no line break, so all changes are one text here.
    text = escape_line_breaks("\n".join([*changes, ""]))
    return with_exponents(text.encode())


async def export(connection: SnapshotConnection, query: ChangesExportQuery, size: int) -> AsyncIterator[bytes]:
    """Start an export of the changes of a ledger of this size, and return its chunks: lines of JSON (NDJSON)."""
    parameters = feed.parameters(query)
    statement = feed.export_statement(tuple(parameters))
    await connection.execute(statement, feed.ROWS_PER_FETCH, **parameters, begin=first_index(query), end=size)
    return _write_lines(connection, await connection.fetch())


async def _write_lines(connection: SnapshotConnection, fetched: Sequence[asyncpg.Record]) -> AsyncIterator[bytes]:
    while fetched:
        yield _as_lines([row[0] for row in fetched])
        fetched = await connection.fetch()
