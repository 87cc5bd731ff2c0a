"""Deadlines of requests, all of which have the same time.

What it does: `Deadlines` waits with one timer for the request whose time ends first, then for the next one.

Why: nearly every request ends long before its deadline, so a timer for each would be set and cancelled in vain, which
takes time (tests/benchmarks/README.md).

To switch it off: leave `shared-timer` out of `FAST_PATHS`. Then `SeparateDeadlines` sets a timer for each request.
"""

from asyncio import AbstractEventLoop, TimerHandle
from typing import Protocol

from typing_extensions import override


class Expiring(Protocol):
    """Something that has a deadline."""

    def expire(self, deadlines: "Deadlines") -> None:
        """Called once, when the deadline has passed."""


class Deadlines:
    """Deadlines that come `seconds` after they were added, in one event loop."""

    def __init__(self, seconds: float, loop: AbstractEventLoop) -> None:
        self.seconds = seconds
        self._loop = loop
        # In the order of their deadlines, since each is added with the same time.
        self._due: dict[Expiring, float] = {}
        self._timer: TimerHandle | None = None

    def add(self, expiring: Expiring) -> None:
        """Start its deadline, unless it has started already."""
        if expiring in self._due:
            return
        self._due[expiring] = due = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._expire_due)

    def discard(self, expiring: Expiring) -> None:
        self._due.pop(expiring, None)

    def _expire_due(self) -> None:
        """Expire those whose time is up, and set the timer for the next one."""
        self._timer = None
        while self._due:
            expiring, due = next(iter(self._due.items()))
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._expire_due)
                return
            del self._due[expiring]
            expiring.expire(self)


class SeparateDeadlines(Deadlines):
    """The same, with a timer for each."""

    def __init__(self, seconds: float, loop: AbstractEventLoop) -> None:
        super().__init__(seconds, loop)
        self._timers: dict[Expiring, TimerHandle] = {}

    @override
    def add(self, expiring: Expiring) -> None:
        if expiring not in self._timers:
            self._timers[expiring] = self._loop.call_later(self.seconds, self._expire, expiring)

    @override
    def discard(self, expiring: Expiring) -> None:
        if timer := self._timers.pop(expiring, None):
            timer.cancel()

    def _expire(self, expiring: Expiring) -> None:
        del self._timers[expiring]
        expiring.expire(self)
