"""How connections are accepted, and how several workers share them.

All workers accept from one socket, so that a busy worker keeps no new connection waiting. But the worker that wakes up
first could take all that wait: on a busy machine, a whole burst. So each worker knows how many connections the others
have. While it has more than another one, it first lets the others accept (tests/benchmarks/README.md).
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing import get_context
from multiprocessing.sharedctypes import RawArray
from socket import socket
from typing import Any

import uvloop
from typing_extensions import override

logger = logging.getLogger(__name__)

# Connections that a worker accepts in one turn of its event loop. uvloop's own server accepts one: new clients would
# wait while others are answered many times. The figures are in tests/benchmarks/README.md.
_ACCEPTS_PER_TURN = 64
# How long a worker that is ahead leaves new connections to the others, and how often it looks meanwhile whether it is
# still ahead.
_HEAD_START_SECONDS, _LOOK_SECONDS = 0.05, 0.001
# A worker is ahead of another one only if it has more connections by this share of its own.
_TOLERATED_LEAD = 1 / 8
# When `accept` has failed, for example because no file descriptor is left, the worker tries again after this time.
_RETRY_SECONDS = 0.1


class Shares:
    """How many connections each worker has, in memory that the workers share."""

    def __init__(self, workers: int) -> None:
        # While workers are replaced there is one more.
        self._pids, self._counts = RawArray("i", workers + 1), RawArray("i", workers + 1)
        self._lock = get_context("spawn").Lock() if workers > 1 else nullcontext()
        self._own = 0

    def join(self) -> None:
        """Take a place for this process: a free one, or that of a worker that was killed."""
        with self._lock:
            self._own = next((place for place, pid in enumerate(self._pids) if not _is_running(pid)), 0)
            self._counts[self._own] = 0
            self._pids[self._own] = os.getpid()

    def leave(self) -> None:
        self._pids[self._own] = 0

    def add(self, number: int) -> None:
        self._counts[self._own] += number

    def is_ahead(self) -> bool:
        """Whether another worker has clearly fewer connections than this one."""
        bound = self._counts[self._own] * (1 - _TOLERATED_LEAD) - 1
        return any(pid and count < bound for pid, count in zip(self._pids, self._counts, strict=True))


def _is_running(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


class Listener:
    """Accepts the connections of a socket until it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], Any],
        listening: socket,
        shares: Shares,
    ) -> None:
        self._loop, self._protocol_factory, self._listening, self._shares = loop, protocol_factory, listening, shares
        self._opening: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._resuming: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        shares.join()
        loop.add_reader(listening, self._accept_some)

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        if self._resuming:
            self._resuming.cancel()
        self._shares.leave()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._opening)

    def _accept_some(self, *, regardless: bool = False) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not regardless and self._shares.is_ahead():
                self._leave_to_others(self._loop.time() + _HEAD_START_SECONDS)
                return
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Accept one connection. Returns False if none is waiting, or if it cannot be accepted now."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            logger.error("a connection cannot be accepted: %s", error.strerror)
            self._pause(_RETRY_SECONDS, self._resume)
            return False
        connection.setblocking(False)
        self._shares.add(1)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket) -> None:
        _, protocol = await self._loop.connect_accepted_socket(self._protocol_factory, connection)
        if self._is_closed:
            # When the server began to stop, uvicorn told only the connections that were open then.
            protocol.shutdown()

    def _leave_to_others(self, until: float) -> None:
        """Accept nothing until this worker is not ahead any more, or until the time `until` of the event loop."""
        if not self._shares.is_ahead():
            self._resume()
        elif self._loop.time() < until:
            self._pause(_LOOK_SECONDS, self._leave_to_others, until)
        else:
            self._resume()
            self._accept_some(regardless=True)

    def _pause(self, seconds: float, resume: Callable[..., None], *arguments: float) -> None:
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(seconds, resume, *arguments)

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept_some)


class Loop(uvloop.Loop):
    """uvloop's event loop, whose servers are `Listener`s."""

    def __init__(self, shares: Shares) -> None:
        super().__init__()
        self._shares = shares

    @override
    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], *, sock: socket, **_options: Any
    ) -> Listener:
        return Listener(self, protocol_factory, sock, self._shares)
