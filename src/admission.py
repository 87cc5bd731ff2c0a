"""Limits how many callers use something at once. The others wait, and are served in the order of their arrival."""

import asyncio
import math
import time
from contextvars import ContextVar

patience: ContextVar[float] = ContextVar("patience", default=math.inf)
"""Seconds that the current request waits for a connection at most: what it has waited for its place is taken off."""


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

    async def admit(self, at_most: float = math.inf) -> float:
        """Take a place, which `release` gives back. Returns the seconds that this took: 0 if a place was free.

        Raises `NotAdmitted` after `timeout`, or after `at_most` seconds if that is less, or `TooManyWaiting` without a
        wait. If this raises, even because the caller is cancelled, the caller has no place.
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
            async with asyncio.timeout(min(self._timeout, at_most)):
                await self._places.acquire()
            return time.monotonic() - started
        except TimeoutError:
            raise NotAdmitted from None
        finally:
            self._waiting -= 1

    def release(self) -> None:
        """Give back a place. The caller who has waited longest gets it."""
        self._places.release()
