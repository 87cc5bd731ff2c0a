"""Ways to make a database fail."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import asyncpg
from typing_extensions import override

from scripts.postgres import Cluster


async def wait_until_blocked(connection: asyncpg.Connection, seconds: float = 5) -> None:
    """Wait until another connection of this database waits for a lock. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await connection.execute("SELECT pg_sleep(0.01)")


class LossyProxy:
    """A proxy between the application and a server that can drop the answer of a statement that was executed."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.url_host = str(folder)
        self._target = cluster.socket_directory / ".s.PGSQL.5432"
        self._path = folder / ".s.PGSQL.5432"
        self.swallow_next = False
        self.swallowed = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connect, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        asking = asyncio.create_task(self._forward(reader, server_writer))
        await self._forward(server_reader, writer, answers=True)
        asking.cancel()
        server_writer.close()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if answers and self.swallow_next:
                    self.swallow_next = False
                    self.swallowed += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


class SilencingProxy(LossyProxy):
    """A proxy whose open connections can go silent, as behind a router that has forgotten them; later ones work."""

    _times_silenced = 0

    def silence(self) -> None:
        self._times_silenced += 1

    @override
    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        times_before = self._times_silenced
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._times_silenced == times_before:
                    writer.write(data)
                    await writer.drain()
        writer.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def frozen(cluster: Cluster) -> AsyncIterator[None]:
    """Freeze every process of the server with its sockets open, so that it neither answers nor refuses."""
    postmaster = cluster.postmaster_pid()
    assert postmaster
    processes = [postmaster, *children(postmaster)]
    try:
        send(signal.SIGSTOP, processes)
        yield
    finally:
        send(signal.SIGCONT, processes)


def send(number: signal.Signals, processes: list[int]) -> None:
    for pid in processes:
        # A backend may have ended in the meantime.
        with suppress(ProcessLookupError):
            os.kill(pid, number)
