"""Requests that wait for others: for a provider, or for something to happen. Each ends when its caller disconnects.

A request that only waits holds no place of src/admission.py and has no deadline (`suspended`, `leave_place`), and it
hears of a stop of the server (`when_stopping`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Scope

T = TypeVar("T")

# Where the scope has what src/web/middleware.py knows of the request.
EXCHANGE = "audit-trail.exchange"
# The extension of the scope with what is called when the server begins to stop.
_ON_STOP = "audit-trail.on-stop"
# Keeps nginx from buffering events. FastAPI sets it for its own streams.
STREAM_HEADERS = {"X-Accel-Buffering": "no"}


class Exchange(Protocol):
    def suspend(self) -> None:
        """Give up the place, and stop the deadline of the answer."""

    def resume(self) -> None:
        """Start the deadline anew. What a request does after it has waited takes no place."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or raise what it raises; cancel it when the caller disconnects.

    Starlette reports a disconnect only to those who call `receive`. The request's body has to be read before: `receive`
    would return the rest of it. Raises `ClientDisconnect`.
    """
    work_task = asyncio.create_task(work)
    disconnect_task = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait((work_task, disconnect_task), return_when=asyncio.FIRST_COMPLETED)
        if work_task.done():
            return work_task.result()
        raise ClientDisconnect
    finally:
        work_task.cancel()
        disconnect_task.cancel()
        # Also retrieves the exceptions of both: asyncio logs one that nobody has retrieved.
        await asyncio.gather(work_task, disconnect_task, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def leave_place(request: Request) -> None:
    """For a stream, which waits most of its time: it takes no place, and may take as long as it likes."""
    _exchange(request.scope).suspend()


@contextmanager
def suspended(request: Request) -> Iterator[None]:
    """The request takes no place and has no deadline meanwhile."""
    exchange = _exchange(request.scope)
    exchange.suspend()
    try:
        yield
    finally:
        exchange.resume()


def when_stopping(request: Request, call: Callable[[], None]) -> None:
    """Have `call` called when the server begins to stop: it waits for the answers that are on their way."""
    request.scope.setdefault("extensions", {})[_ON_STOP] = {"call": call}


def tell_of_stop(scope: Any) -> None:
    """Call what the request of this scope has left, if it has: the server begins to stop."""
    if extension := scope["extensions"].get(_ON_STOP):
        extension["call"]()


def _exchange(scope: Scope) -> Exchange:
    exchange: Exchange = scope[EXCHANGE]
    return exchange
