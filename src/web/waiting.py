"""Requests that wait for others: for a provider, or for something to happen. Each ends when its caller disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.sse import EventSourceResponse
from starlette.requests import ClientDisconnect

T = TypeVar("T")

# The key of the scope for the function that gives up the limits of a request (`leave` in src/web/middleware.py).
LEAVE = "audit-trail.leave"


class EventStream(EventSourceResponse):
    """Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        # Keeps nginx from buffering events. FastAPI sets it for its own streams.
        super().__init__(events, headers={"X-Accel-Buffering": "no"})


def leave_place(request: Request) -> None:
    """Give up the place (`MAX_IN_FLIGHT`) and the deadline (`REQUEST_TIMEOUT`) of a request that only waits.

    It never gets them back, so it must limit by itself what it does after that.
    """
    request.scope[LEAVE]()


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
