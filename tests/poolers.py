"""A stand-in for a pooler that changes the parameters of a connection."""

import asyncio
import struct
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

from scripts.postgres import Cluster


class ParameterProxy:
    """A proxy between the application and a server that drops or refuses parameters that a client sets at the start.

    PgBouncer does both: https://www.pgbouncer.org/config.html#ignore_startup_parameters.
    """

    def __init__(self, cluster: Cluster, folder: Path, *, drops: Collection[str] = (), refuses: str = "") -> None:
        self.host = str(folder)
        self._target = cluster.socket_directory / ".s.PGSQL.5432"
        self._path = folder / ".s.PGSQL.5432"
        self._drops, self._refuses = drops, refuses

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connect, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!i", await reader.readexactly(4))
        start = await reader.readexactly(size - 4)
        protocol, fields = start[:4], start[4:].rstrip(b"\0").split(b"\0")
        given = dict(zip(fields[::2], fields[1::2], strict=True))
        if self._refuses.encode() in given:
            writer.write(_error(f"unsupported startup parameter: {self._refuses}"))
            writer.close()
            return
        kept = b"".join(b"%s\0%s\0" % field for field in given.items() if field[0].decode() not in self._drops)
        message = protocol + kept + b"\0"
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        server_writer.write(struct.pack("!i", len(message) + 4) + message)
        await asyncio.gather(_forward(reader, server_writer), _forward(server_reader, writer))


def _error(message: str) -> bytes:
    fields = f"SFATAL\0C08P01\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
