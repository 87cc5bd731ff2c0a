"""When a caller disconnects, its call to the provider is cancelled at once, and its place is freed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

import pytest
import uvicorn

from src.config import AppSettings
from src.main import create_app
from src.settings import Settings
from tests.ai.application import RESPONSES, ai_settings
from tests.ai.fake_provider import ANSWER, BEGINS, FakeProvider, Reply, Stream, answers, piece
from tests.application import NO_DATABASE, ServerInProcess

STREAM = f"{RESPONSES}/stream"
BODY = b'{"input": "Say something."}'
HEAD = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
ENDLESS = Stream([BEGINS, piece("A")], ends="never")


@asynccontextmanager
async def run_uvicorn(provider: FakeProvider, **settings: Any) -> AsyncIterator[int]:
    """Run a real server in this process, since the ASGI client of the other tests never disconnects; yield its port."""
    app = create_app(Settings.load(AppSettings(), NO_DATABASE, ai_settings(provider, **settings)))
    server = ServerInProcess(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")
    )
    serving = asyncio.create_task(server.serve())
    await server.has_started.wait()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def send(port: int, path: str = RESPONSES) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD.format(path, len(BODY)).encode() + BODY)
    await writer.drain()
    return reader, writer


async def read_to(reader: asyncio.StreamReader, mark: bytes) -> None:
    async with asyncio.timeout(5):
        await reader.readuntil(mark)


@pytest.mark.parametrize(
    ("path", "reply", "awaited", "status"),
    [
        (RESPONSES, Reply(hangs=True), None, 499),
        (RESPONSES, Stream([BEGINS, *repeat(piece("A"), 500)], pause=0.02), None, 499),
        (STREAM, Reply(hangs=True), None, 499),
        (STREAM, Stream([], ends="never"), None, 499),
        (STREAM, Stream([BEGINS], ends="never"), b"event: start", 200),
        (STREAM, ENDLESS, b"event: delta", 200),
    ],
    ids=[
        "plain, silent",
        "plain, under way",
        "before the head",
        "before the first event",
        "before the first piece",
        "after the first piece",
    ],
)
async def test_a_disconnect_cancels_the_call_frees_its_place_and_logs_no_warning(
    provider: FakeProvider,
    caplog: pytest.LogCaptureFixture,
    path: str,
    reply: Reply | Stream,
    awaited: bytes | None,
    status: int,
) -> None:
    provider.replies(reply, ANSWER)
    settings = {"ai_max_in_flight": 1, "ai_max_streams": 1, "ai_place_timeout": 1.5, "ai_breaker_failures": 1}
    async with asyncio.timeout(10), run_uvicorn(provider, **settings) as port:
        caplog.set_level(logging.INFO)
        caplog.clear()
        reader, writer = await send(port, path)
        await provider.wait_for_requests()
        if awaited:
            await read_to(reader, awaited)
        writer.close()
        async with asyncio.timeout(1):
            await provider.abandoned.wait()
        second, writer = await send(port, path)
        assert (await second.readline()).startswith(b"HTTP/1.1 200 ")
        if path == STREAM:
            await read_to(second, b"event: done")
        writer.close()
    assert len(provider.requests) == 2
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []
    calls = [vars(record)["status"] for record in caplog.records if record.name == "src.ai.telemetry"]
    accesses = [vars(record)["status"] for record in caplog.records if record.name == "src.access"]
    assert calls == ["cancelled", "completed"]
    assert accesses == [status, 200]


async def test_a_caller_that_stays_connected_gets_the_answer(provider: FakeProvider) -> None:
    provider.replies(answers())
    async with asyncio.timeout(5), run_uvicorn(provider) as port:
        reader, writer = await send(port)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
