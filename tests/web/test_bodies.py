"""Bodies that break off."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from src.web import bodies

READERS = (bodies.read, bodies.read_packed)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("pieces", [[], [b"{}"], [b"{}", b""]])
async def test_a_body_that_breaks_off_is_no_body_although_it_is_whole_json(
    read: Callable[[Request, int], Awaitable[bytes]], pieces: list[bytes]
) -> None:
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    received = iter([*messages, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(received)

    with pytest.raises(ClientDisconnect):
        await read(Request({"type": "http", "headers": []}, receive), 100)
