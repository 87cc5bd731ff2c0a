"""Limits how many callers use something at once. The others wait, and are served in the order of their arrival."""

import asyncio
import math


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

    async def admit(self) -> None:
        """Take a place, which `release` gives back. Raises `NotAdmitted`, or `TooManyWaiting` without a wait.

        If this raises, even because the caller is cancelled, the caller has no place.
        """
        # It is also locked while callers wait: a place that has just become free belongs to one of them.
        if not self._places.locked():
            await self._places.acquire()
            return
        if self._waiting >= self._max_waiting:
            raise TooManyWaiting
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.acquire()
        except TimeoutError:
            raise NotAdmitted from None
        finally:
            self._waiting -= 1

    def release(self) -> None:
        """Give back a place. The caller who has waited longest gets it."""
        self._places.release()
