"""The feed as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from collections.abc import AsyncIterator

from src.database import AutocommitConnection
from src.ledger import changes, heads
from src.ledger.constants import HEARTBEAT_SECONDS
from src.ledger.exceptions import OUTAGES
from src.ledger.followers import Followers
from src.ledger.schemas import ChangesStreamQuery
from src.pagination import MAX_LIMIT

_HEARTBEAT = b": \n\n"


async def open_stream(
    connection: AutocommitConnection, followers: Followers, query: ChangesStreamQuery, last_event_id: int | None
) -> AsyncIterator[bytes]:
    """Read the first changes behind `last_event_id`, or the query's `after`, and return all events from there on.

    Raises `LedgerMissing`.
    """
    begin = changes.first_index(query) if last_event_id is None else last_event_id + 1
    size, _ = await heads.get_sealed(connection)
    first = await changes.read(connection, query, begin, size, MAX_LIMIT)
    return _write_events(followers, query, first, size)


async def _write_events(
    followers: Followers, query: ChangesStreamQuery, found: changes.Piece, size: int
) -> AsyncIterator[bytes]:
    """They end when the server stops, and in an outage: the client comes again with the last id."""
    yield _HEARTBEAT
    while not followers.is_stopped:
        if found.lines:
            yield b"".join(map(_event, found.indexes, found.lines))
        begin = found.last + 1
        if not found.indexes or found.indexes[-1] < found.last:
            # An id without data moves a client on, and is no event to it.
            yield b"id: %d\n\n" % found.last
        try:
            while begin >= size and not followers.is_stopped:
                size = max(size, await followers.wait_beyond(max(begin, size), HEARTBEAT_SECONDS))
                yield _HEARTBEAT
            found = await followers.read(query, begin, size, MAX_LIMIT)
        except OUTAGES:
            return


def _event(index: int, line: bytes) -> bytes:
    return b"id: %d\nevent: change\ndata: %s\n\n" % (index, line)
