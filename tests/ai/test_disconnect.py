"""A caller that leaves takes its call of the provider along."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import pytest
import uvicorn

from src.config import AppSettings
from src.main import create_app
from tests.ai.application import NO_DATABASE, RESPONSES, ai_settings
from tests.ai.provider import Provider, Reply, answers

BODY = b'{"input": "Say something."}'
HEAD = f"POST {RESPONSES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def run_uvicorn(provider: Provider) -> AsyncIterator[int]:
    """The port of a real server in this process: ASGI alone has no client that leaves."""
    app = create_app(AppSettings(), NO_DATABASE, ai_settings(provider))
    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none"))
    serving = asyncio.create_task(server.serve())
    await server.listens.wait()
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def send(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD.encode() + BODY)
    await writer.drain()
    return reader, writer


async def test_a_caller_that_leaves_cancels_the_call_without_noise(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.replies(Reply(hangs=True))
    async with asyncio.timeout(5), run_uvicorn(provider) as port:
        caplog.set_level(logging.INFO)
        caplog.clear()
        _, writer = await send(port)
        await provider.asked.wait()
        writer.close()
        await provider.abandoned.wait()
    assert len(provider.requests) == 1
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []
    (call,) = [record for record in caplog.records if record.name == "src.ai.telemetry"]
    (access,) = [record for record in caplog.records if record.name == "src.access"]
    assert vars(call)["status"] == "cancelled"
    assert vars(access)["status"] == 499


async def test_a_caller_that_stays_gets_its_answer(provider: Provider) -> None:
    provider.replies(answers())
    async with asyncio.timeout(5), run_uvicorn(provider) as port:
        reader, writer = await send(port)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
