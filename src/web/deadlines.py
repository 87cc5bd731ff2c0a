"""Deadlines of many requests that have equally long, with one timer for all of them.

Why: a timer of its own for each request, which hardly ever rings, takes 5 us (tests/benchmarks/README.md).
"""

import asyncio
from asyncio import TimerHandle
from typing import Protocol


class Expiring(Protocol):
    """What has a deadline."""

    def expire(self, deadlines: "Deadlines") -> None:
        """Called once, when the deadline has passed."""


class Deadlines:
    """Each begins when it is added, and takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # In the order of their deadlines, since all have equally long.
        self._due: dict[Expiring, float] = {}
        self._timer: TimerHandle | None = None

    def add(self, expiring: Expiring) -> None:
        """Start its deadline; one that has started already goes on."""
        if expiring in self._due:
            return
        loop = asyncio.get_running_loop()
        self._due[expiring] = due = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._ring)

    def discard(self, expiring: Expiring) -> None:
        self._due.pop(expiring, None)

    def _ring(self) -> None:
        """Expire those whose time is up, and set the timer for the next one."""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._due:
            expiring, due = next(iter(self._due.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._ring)
                return
            del self._due[expiring]
            expiring.expire(self)
