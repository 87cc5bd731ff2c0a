"""The feed as a stream, which ends when the server stops and in an outage; its client then comes again."""

import time
from collections.abc import AsyncGenerator

from src.ledger import changes
from src.ledger.changes import Piece
from src.ledger.constants import HEARTBEAT_SECONDS
from src.ledger.exceptions import OUTAGES, LedgerMissing
from src.ledger.followers import Followers
from src.ledger.schemas import ChangeFilter
from src.pagination import MAX_LIMIT


async def open_stream(followers: Followers, wanted: ChangeFilter) -> AsyncGenerator[Piece]:
    """All changes behind `wanted.after`. Raises `LedgerMissing`, or what an outage raises, but only before the first.

    A piece comes each `HEARTBEAT_SECONDS` at least. One without changes says how far the stream has looked.
    """
    await followers.ask_size()
    return _follow(followers, wanted, changes.first_index(wanted))


async def _follow(followers: Followers, wanted: ChangeFilter, begin: int) -> AsyncGenerator[Piece]:
    until = time.monotonic() + HEARTBEAT_SECONDS
    while not followers.is_stopped:
        try:
            size = await followers.wait(begin, until)
            found = await followers.read(wanted, begin, size, MAX_LIMIT)
        except (*OUTAGES, LedgerMissing):
            break
        begin = found.last + 1
        if found.lines or begin < size or time.monotonic() >= until:
            yield found
            until = time.monotonic() + HEARTBEAT_SECONDS
    yield Piece([], [], begin - 1)
