"""The client of the AI domain, and what ends its work when the caller leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from src.ai.calls import AIClient

T = TypeVar("T")


async def get_client(request: Request) -> AIClient:
    client: AIClient = request.state.ai_client
    return client


AIClientDep = Annotated[AIClient, Depends(get_client)]


async def exit_stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


ExitStackDep = Annotated[AsyncExitStack, Depends(exit_stack)]
"""What is entered there ends with the request: after the answer has been sent, or when the caller has left."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; it is cancelled when the caller leaves, whom nothing else would tell of.

    The body must have been read: what comes after it is that the caller leaves. Raises `ClientDisconnect`.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        # Waits for the end of both, and looks at their exceptions: asyncio complains of one that nobody has looked at.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
