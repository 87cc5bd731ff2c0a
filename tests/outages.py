"""Ways in which a database fails."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from scripts.postgres import Cluster


async def wait_until_blocked(connection: asyncpg.Connection) -> None:
    """Returns when another connection of this database waits for a lock."""
    async with asyncio.timeout(5):
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await connection.execute("SELECT pg_sleep(0.01)")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def frozen(cluster: Cluster) -> AsyncIterator[None]:
    """Every process of the server stopped where it is, its sockets open: it neither answers nor refuses."""
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
        # A backend may have ended meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, number)
