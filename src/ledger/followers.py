"""Those who wait for the ledger to grow: long polls and streams.

One task asks how large the ledger is, however many wait, and one read serves all who ask for the same changes.
"""

import asyncio
from contextlib import suppress

from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection
from src.ledger import changes, feed, heads
from src.ledger.exceptions import OUTAGES, LedgerMissing
from src.ledger.schemas import ChangeFilter

# So that a thousand followers, who all wake at once, leave connections to others.
_READS_AT_ONCE = 4


class Followers:
    """The followers of one process."""

    def __init__(self, pool: ConnectionPool, interval: float) -> None:
        """`interval`: seconds after which growth is noticed that `look` was not called for."""
        self._connection, self._interval = AutocommitConnection(pool), interval
        self._size = 0
        self._waiting = 0
        # Set, and replaced, when the ledger has grown.
        self._grown = asyncio.Event()
        self._looks = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._reads: dict[object, asyncio.Task[changes.Piece]] = {}
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)
        self.is_stopped = False

    def look(self) -> None:
        """Look now: this process has sealed something."""
        self._looks.set()

    def stop(self) -> None:
        """End all waiting, now and later."""
        self.is_stopped = True
        self._grown.set()
        if self._watching:
            self._watching.cancel()

    async def wait_beyond(self, size: int, seconds: float) -> int:
        """Wait until the ledger is larger than `size`. Returns its size, which is no larger if nothing came in time."""
        self._waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._size <= size and not self.is_stopped:
                        self._watch()
                        await self._grown.wait()
        finally:
            self._waiting -= 1
        return self._size

    async def read(self, wanted: ChangeFilter, begin: int, size: int, limit: int) -> changes.Piece:
        """As `changes.read`."""
        key = (*feed.parameters(wanted).items(), begin, size, limit)
        if key not in self._reads:
            self._reads[key] = asyncio.create_task(self._read(wanted, begin, size, limit))
            self._reads[key].add_done_callback(lambda _: self._reads.pop(key))
        # Others may wait for it, after one has gone.
        return await asyncio.shield(self._reads[key])

    async def _read(self, wanted: ChangeFilter, begin: int, size: int, limit: int) -> changes.Piece:
        async with self._turns:
            return await changes.read(self._connection, wanted, begin, size, limit)

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            self._looks.clear()
            # During an outage nothing grows. Whoever waits is told when it asks again.
            with suppress(*OUTAGES, LedgerMissing):
                size, _ = await heads.get_sealed(self._connection)
                self._notice(size)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._looks.wait()

    def _notice(self, size: int) -> None:
        if size != self._size:
            self._size = size
            self._grown.set()
            self._grown = asyncio.Event()
