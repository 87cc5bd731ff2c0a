"""HTTP by hand, for requests that no client library sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.message import Message
from email.parser import BytesParser
from typing import Any, NamedTuple

from pydantic_core import from_json


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return from_json(self.body)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send data. A closed connection is no error here: the answer may have arrived."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    def stop_reading(self) -> None:
        """Stop reading, like a client that hangs, so that what the server sends fills the socket buffers."""
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def answer(self) -> Answer:
        """Receive one answer, which must have a `Content-Length`."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, _, fields = head.partition(b"\r\n")
        headers = BytesParser().parsebytes(fields)
        body = await self.reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(first.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Receive everything until the server closes the connection."""
        received = bytearray()
        with suppress(ConnectionError):
            while data := await self.reader.read(65536):
                received += data
        return bytes(received)


@asynccontextmanager
async def connect(url: str, *, limit: int = 2**16) -> AsyncIterator[Connection]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode("latin-1")
