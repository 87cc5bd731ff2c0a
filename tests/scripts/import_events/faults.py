"""A proxy before a running service that fails as networks and proxies do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

import httpx2


class Fault(Enum):
    LOST_REQUEST = auto()
    """The connection is closed before the service sees the request."""
    LOST_ANSWER = auto()
    """The connection is closed when the service has answered."""


@dataclass(frozen=True)
class Answer:
    status: int
    retry_after: str | None = None
    body: bytes = b"<html>no JSON</html>"


Choose = Callable[[int, bytes], Fault | Answer | None]
"""Chooses by the number of the request, from 0 on, and its body. None forwards it to the service."""


@dataclass
class FaultyProxy:
    service: str
    choose: Choose
    url: str = ""
    times: list[float] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection is kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request_line, *lines = head.rstrip().split("\r\n")
        headers: dict[str, str] = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        number = len(self.times)
        self.times.append(asyncio.get_running_loop().time())
        chosen = self.choose(number, body)
        if chosen is Fault.LOST_REQUEST:
            return False
        if isinstance(chosen, Answer):
            write(writer, chosen.status, chosen.body, chosen.retry_after)
            return True
        async with httpx2.AsyncClient(timeout=30) as client:
            answer = await client.post(
                self.service + request_line.split(" ")[1],
                content=body,
                headers={"content-type": headers["content-type"]},
            )
        if chosen is Fault.LOST_ANSWER:
            return False
        write(writer, answer.status_code, answer.content, answer.headers.get("retry-after"))
        return True


def write(writer: asyncio.StreamWriter, status: int, body: bytes, retry_after: str | None) -> None:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}"]
    if retry_after:
        lines.append(f"Retry-After: {retry_after}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)


@asynccontextmanager
async def faulty_proxy(service: str, choose: Choose) -> AsyncIterator[FaultyProxy]:
    proxy = FaultyProxy(service, choose)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 24)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
