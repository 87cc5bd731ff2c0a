"""Dependencies of the AI router: the client, and what ends with the request."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from src.ai.client import AIClient
from src.web.state import shared
from src.web.waiting import leave_place


async def get_client(request: Request) -> AIClient:
    """A call may take longer than `REQUEST_TIMEOUT`: it gives up the request's place and deadline."""
    return shared(request, "ai_client", AIClient).for_request(partial(leave_place, request))


AIClientDep = Annotated[AIClient, Depends(get_client)]


async def get_exit_stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


ExitStackDep = Annotated[AsyncExitStack, Depends(get_exit_stack)]
"""Context managers entered there exit with the request: when the answer is sent, or the caller has disconnected."""
