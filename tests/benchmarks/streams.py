"""Streams of AI: CPU of each token, and how long the first piece of text takes through the service.

The provider is a server in this process, which writes each event by itself, as a model does.
"""

import asyncio
import json
import logging
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from src.config import API_PREFIX
from tests.benchmarks.programs import SERVICE
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import Program, Server, serve

logger = logging.getLogger(__name__)

ROUNDS, STREAMS, TOKENS = 5, 8, 500
# Between two tokens of a stream.
_SECONDS = 0.002
_BODY = json.dumps({"input": "Say something.", "max_output_tokens": 2048}).encode()
_REQUEST = (
    f"POST {API_PREFIX}/ai/responses/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    f"Connection: close\r\nContent-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY
_PIECE = " token"


def measure(database_url: str, log: Path, program: Program = SERVICE) -> list[Figure]:
    logger.info("streams of AI: %s at once, %s tokens each", STREAMS, TOKENS)
    results = asyncio.run(_measure(database_url, log, program))
    cpu, first = (statistics.median(figures) for figures in zip(*results, strict=True))
    return [
        Figure("stream of AI: CPU of each token", "us", cpu, at_most=60),
        Figure("stream of AI: first piece after the provider's", "ms", first, at_most=50),
    ]


async def _measure(database_url: str, log: Path, program: Program) -> list[tuple[float, float]]:
    provider = _Provider()
    async with provider.run() as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        with serve(program, database_url, log, OPENAI_API_KEY="sk-bench", OPENAI_BASE_URL=base_url) as server:
            await _round(server, provider)
            return [await _round(server, provider) for _ in range(ROUNDS)]


async def _round(server: Server, provider: "_Provider") -> tuple[float, float]:
    """CPU microseconds of each token, and milliseconds of the slowest first piece."""
    provider.first_written.clear()
    before = server.cpu_seconds()
    first_read = await asyncio.gather(*(_read(server.port) for _ in range(STREAMS)))
    used = server.cpu_seconds() - before
    # The order in which streams begin is the same on both sides, within what this measures.
    delays = [read - written for read, written in zip(sorted(first_read), sorted(provider.first_written), strict=True)]
    return used / (STREAMS * TOKENS) * 1e6, max(delays) * 1e3


async def _read(port: int) -> float:
    """Read a stream to its end; return when its first piece of text came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    await reader.readuntil(b"event: delta")
    first = time.perf_counter()
    rest = await reader.read(-1)
    writer.close()
    if b"event: done" not in rest or rest.count(b"event: delta") != TOKENS - 1:
        raise SystemExit("bench: a stream of AI is not whole")
    return first


class _Provider:
    """Writes the same answer to each request."""

    def __init__(self) -> None:
        self.first_written: list[float] = []
        text = _PIECE * TOKENS
        answer = {"id": "resp_1", "object": "response", "model": "bench", "status": "completed"}
        part = {"type": "output_text", "text": text, "annotations": []}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        usage = {"input_tokens": 9, "output_tokens": TOKENS, "total_tokens": TOKENS + 9}
        self._begin = _event("response.created", 0, response=answer | {"status": "in_progress", "output": []})
        self._pieces = [
            _event(
                "response.output_text.delta",
                number,
                item_id="msg_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
                output_index=0,
                content_index=0,
                delta=_PIECE,
                logprobs=[],
                obfuscation="y7YtZ8Kq",
            )
            for number in range(1, TOKENS + 1)
        ]
        self._end = _event("response.completed", TOKENS + 1, response=answer | {"output": [message], "usage": usage})

    @asynccontextmanager
    async def run(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                await self._stream(writer)
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(_chunk(self._begin))
        await asyncio.sleep(0.1)
        self.first_written.append(time.perf_counter())
        for piece in self._pieces:
            writer.write(_chunk(piece))
            await asyncio.sleep(_SECONDS)
        writer.write(_chunk(self._end) + b"0\r\n\r\n")
        await writer.drain()


def _event(kind: str, number: int, **data: object) -> bytes:
    event = {"type": kind, "sequence_number": number, **data}
    return f"event: {kind}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
