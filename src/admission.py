"""Limits how many callers use something at once. The others wait, and are served in the order of their arrival."""

import asyncio
import math
import time
from contextvars import ContextVar

patience: ContextVar[float] = ContextVar("patience", default=1)
"""The share of its timeout for which the current request waits for its first connection.

It is 1 if its place was free, and 0 if it has waited for it as long as it could: it never waits for both in full.
"""


class NotAdmitted(Exception):
    """No place became free in time."""


class TooManyWaiting(NotAdmitted):
    """The limit of waiting callers is reached."""


class Admission:
    """A number of places. A caller without a place waits for one.

    Taking a free place starts no task and no timer, so it takes little time (tests/benchmarks/README.md).
    """

    def __init__(self, places: int, timeout: float, max_waiting: float = math.inf) -> None:
        """`timeout`: seconds that a caller may wait; `max_waiting`: how many callers may wait at once."""
        # First in, first out: https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore
        self._places = asyncio.Semaphore(places)
        self._timeout = timeout
        self._max_waiting = max_waiting
        self._waiting = 0

    async def admit(self, share: float = 1) -> float:
        """Take a place, which `release` gives back. Returns the seconds that this took: 0 if a place was free.

        Raises `NotAdmitted` after this share of the timeout, or `TooManyWaiting` without a wait. If this raises, even
        because the caller is cancelled, the caller has no place.
        """
        # It is also locked while callers wait: a place that has just become free belongs to one of them.
        if not self._places.locked():
            await self._places.acquire()
            return 0
        if self._waiting >= self._max_waiting:
            raise TooManyWaiting
        self._waiting += 1
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout * share):
                await self._places.acquire()
            return time.monotonic() - started
        except TimeoutError:
            raise NotAdmitted from None
        finally:
            self._waiting -= 1

    def release(self) -> None:
        """Give back a place. The caller who has waited longest gets it."""
        self._places.release()
