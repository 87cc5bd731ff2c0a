"""Dependencies of the AI router: the client, and the end of work whose caller has disconnected."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from src.ai.client import AIClient
from src.web.state import shared

T = TypeVar("T")


async def get_client(request: Request) -> AIClient:
    return shared(request, "ai_client", AIClient)


AIClientDep = Annotated[AIClient, Depends(get_client)]


async def get_exit_stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


ExitStackDep = Annotated[AsyncExitStack, Depends(get_exit_stack)]
"""Context managers entered there exit with the request: when the answer is sent, or the caller has disconnected."""


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
