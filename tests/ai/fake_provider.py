"""A fake provider, a real HTTP server on loopback: it sends the replies of a test, and records the requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal


@dataclass(frozen=True)
class Reply:
    """Times are in seconds."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    pause_between_bytes: float = 0
    sent_bytes: int | None = None
    """Closes the connection after so many bytes of the body, although `Content-Length` names all of it."""
    drops: bool = False
    """Closes the connection instead of answering."""
    hangs: bool = False
    """Never answers, and waits until the client closes the connection."""


@dataclass(frozen=True)
class Stream:
    """A body that is sent piece by piece, with a pause of so many seconds after each piece."""

    pieces: Iterable[bytes]
    pause: float = 0
    ends: Literal["cleanly", "cut short", "never"] = "cleanly"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class FakeProvider:
    """Sends the replies given to `replies` in turn, and repeats the last one. Without any it drops connections."""

    def __init__(self) -> None:
        self.url = ""
        self._connections: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        self.requests: list[Received] = []
        self._request_arrived = asyncio.Event()
        self.abandoned = asyncio.Event()
        self._choose: Callable[[Received], Reply | Stream] = lambda _: Reply(drops=True)

    def replies(self, *replies: Reply | Stream) -> None:
        self._choose = lambda _: replies[min(len(self.requests), len(replies)) - 1]

    def replies_by(self, choose: Callable[[Received], Reply | Stream]) -> None:
        """Reply to each request with what `choose` returns."""
        self._choose = choose

    async def wait_for_requests(self, count: int = 1) -> None:
        """Return when this number of requests has arrived."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._request_arrived.clear()
                await self._request_arrived.wait()

    async def wait_closed(self) -> None:
        """Return when all connections are closed."""
        async with asyncio.timeout(5):
            await asyncio.gather(*self._connections)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection is kept."""
        request = await _receive(reader)
        self.requests.append(request)
        self._request_arrived.set()
        reply = self._choose(request)
        if isinstance(reply, Stream):
            return await self._stream(reply, reader, writer)
        if reply.hangs:
            await reader.read()
            self.abandoned.set()
        if reply.hangs or reply.drops:
            return False
        await asyncio.sleep(reply.delay)
        await _send(reply, writer)
        return reply.sent_bytes is None

    def _note_abandoned(self, left: asyncio.Task[bytes]) -> None:
        if not left.cancelled():
            left.exception()  # retrieved, since asyncio logs an exception that nobody retrieves
        self.abandoned.set()

    async def _stream(self, stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection is kept."""
        left = asyncio.create_task(reader.read())
        left.add_done_callback(self._note_abandoned)
        _write_head(
            writer, 200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **stream.headers}
        )
        for piece in stream.pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(stream.pause)
        if stream.ends == "cleanly":
            writer.write(b"0\r\n\r\n")
        if stream.ends == "never":
            await left
        left.cancel()
        return False


async def _receive(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, json.loads(body) if body else None)


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    fixed = {"Content-Type": "application/json", "Content-Length": str(len(reply.body))}
    _write_head(writer, reply.status, {**fixed, **reply.headers})
    body = reply.body[: reply.sent_bytes]
    size = 1 if reply.pause_between_bytes else max(1, len(body))
    for start in range(0, len(body), size):
        writer.write(body[start : start + size])
        await writer.drain()
        await asyncio.sleep(reply.pause_between_bytes)


def _write_head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{n}: {v}" for n, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


@asynccontextmanager
async def run_provider() -> AsyncIterator[FakeProvider]:
    provider = FakeProvider()
    server = await asyncio.start_server(provider.accept, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield provider
        await provider.wait_closed()


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [*content]}


def text(value: str) -> dict[str, Any]:
    return {"type": "output_text", "text": value, "annotations": [], "logprobs": []}


def response(**changes: Any) -> dict[str, Any]:
    """A response in the form of the Responses API."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": "gpt-5.4-mini-2026-03-17",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "output": [{"id": "rs_1", "type": "reasoning", "summary": [], "content": None}, message(text("An answer."))],
        "usage": {
            "input_tokens": 30,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 50,
        },
    } | changes


def answers(**changes: Any) -> Reply:
    return reply_json(response(**changes))


def reply_json(value: Any, status: int = 200, **headers: str) -> Reply:
    """`Retry_After="1"` is the header `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(value).encode(), status, {"X-Request-ID": "req_1"} | named)


def fails(status: int, code: str | None = None, kind: str | None = None, said: str = "No.", **headers: str) -> Reply:
    """An error in the form of the API."""
    return reply_json({"error": {"message": said, "type": kind, "param": None, "code": code}}, status, **headers)


def event(kind: str, **data: Any) -> bytes:
    """An event in the form of the API's streams."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


BEGINS = event("response.created", response=response(status="in_progress", output=[]))
COMPLETES = event("response.completed", response=response())
HEARTBEAT = b": still here\n\n"


def piece(value: str) -> bytes:
    return event("response.output_text.delta", delta=value)


def completes(**changes: Any) -> bytes:
    return event("response.completed", response=response(**changes))


ANSWER = Stream([BEGINS, piece("An "), piece("answer."), COMPLETES], headers={"X-Request-ID": "req_1"})
