"""Those who wait for the ledger to grow: long polls and streams.

However many wait, one task of the process asks how large the ledger is, and one event wakes them. They share what one
of them has read, and read two at a time: a thousand who wake at once leave connections and the event loop to other
requests.
"""

import asyncio
import math
import time
from contextlib import suppress

from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection
from src.ledger import changes, feed, heads
from src.ledger.changes import Piece
from src.ledger.exceptions import OUTAGES, LedgerMissing
from src.ledger.schemas import ChangeFilter, ChangesQuery

_AT_ONCE = 2
# How many pieces are kept for others, and for how many seconds: followers without filters all want the same one.
_MAX_PIECES, _KEPT_SECONDS = 16, 1
# Seconds between two followers who get what another one has read. Without this pause 500 followers get their answers in
# one burst, in which a create waits for ten of them (`make bench`).
_PAUSE_SECONDS = 0.002
# Seconds for which a newcomer takes the size as it is known, and does not have it asked for.
_FRESH_SECONDS = 0.05

_NOTHING = Piece([], [], -1)


class Followers:
    """The followers of one process."""

    def __init__(self, pool: ConnectionPool, interval: float) -> None:
        """`interval`: seconds after which it is noticed that another process has sealed something."""
        self._connection, self._interval = AutocommitConnection(pool), interval
        self.is_stopped = False
        # None while it is not known. `_looked_at` is when it was asked for last.
        self._size: int | None = None
        self._looked_at = -math.inf
        self._waiting = 0
        # Set, and replaced, when the ledger has grown.
        self._grown = asyncio.Event()
        self._sealed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        # Not `Admission`, which refuses whoever has waited too long: followers wait in any case.
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._pieces: dict[object, tuple[float, Piece]] = {}

    def look(self) -> None:
        """Look now, since this process has sealed something."""
        self._sealed.set()

    def stop(self) -> None:
        """End all waiting, now and later, since the server stops."""
        self.is_stopped = True
        self._wake()

    async def close(self) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def wait(self, begin: int, until: float) -> int:
        """Wait until there is an entry `begin`, or the time `until` (`time.monotonic`). Returns the ledger's size.

        Raises `LedgerMissing`, or what an outage raises, if the size is not known at the end.
        """
        came_at = time.monotonic()
        if not self._has(begin) and self._looked_at < came_at - _FRESH_SECONDS:
            self.look()
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    while not (self.is_stopped or self._has(begin)):
                        self._watch()
                        await self._grown.wait()
        finally:
            self._waiting -= 1
        if self._size is not None and (self._size > begin or self._looked_at >= came_at):
            return self._size
        return await self.ask_size()

    async def ask_size(self) -> int:
        """The size of the ledger as it is now. Raises as `wait` does."""
        async with self._turns:
            return await self._read_size()

    def _has(self, begin: int) -> bool:
        return self._size is not None and self._size > begin

    async def read(self, wanted: ChangeFilter, begin: int, size: int, limit: int) -> Piece:
        """As `changes.read`."""
        key = (begin, size, limit, *feed.parameters(wanted).items())
        async with self._turns:
            now = time.monotonic()
            read_at, piece = self._pieces.get(key, (-math.inf, _NOTHING))
            if read_at < now - _KEPT_SECONDS:
                piece = await changes.read(self._connection, wanted, begin, size, limit)
                if piece.last < begin < size:
                    # The ledger is smaller by now: a standby that had not all of it has taken over.
                    self._size = None
                    self.look()
                    return piece
                if len(self._pieces) >= _MAX_PIECES:
                    self._pieces.clear()
                self._pieces[key] = now, piece
            else:
                await asyncio.sleep(_PAUSE_SECONDS)
            return piece

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._run(), name="ledger followers")

    async def _run(self) -> None:
        while self._waiting:
            self._sealed.clear()
            looked_at = time.monotonic()
            try:
                size = await self._read_size()
            except (*OUTAGES, LedgerMissing):
                # Whoever asks during an outage gets its error.
                self._size = None
            else:
                self._looked_at = looked_at
                if size != self._size:
                    self._size = size
                    self._pieces.clear()
                    self._wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._sealed.wait()
        # Nobody keeps it up to date from here on.
        self._size = None

    async def _read_size(self) -> int:
        size, _ = await heads.get_sealed(self._connection)
        return size

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


async def wait_for_page(followers: Followers, query: ChangesQuery) -> bytes:
    """A page of the feed as JSON, when there is something for it, or when `query.wait` seconds are over."""
    until = time.monotonic() + query.wait
    begin = changes.first_index(query)
    while True:
        size = await followers.wait(begin, until)
        piece = await followers.read(query, begin, size, query.limit)
        if piece.lines or followers.is_stopped or time.monotonic() >= until:
            return changes.page(piece, query.limit, size)
        begin = piece.last + 1
