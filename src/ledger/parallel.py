"""Runs the tasks of `make verify` on one snapshot of the database: one by one, or in a process for each core."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from src.config import DatabaseSettings
from src.engines import create_job_engine
from src.job_errors import exit_with_one_line

ADVICE_BY_SQLSTATE = {
    "42P01": "the database is not migrated: run make migrate",
    "42703": "the database is of another version: run make migrate",
}
"""What to do about errors of PostgreSQL that only this command can meet (`src/job_errors.py`)."""

T = TypeVar("T")
Task = Callable[..., Coroutine[Any, Any, T]]
"""Takes a connection, and arguments."""


class Run(Protocol):
    """Runs a task for all arguments. The results come in their order."""

    def __call__(self, task: Task[T], arguments: AsyncIterator[tuple[Any, ...]]) -> AsyncIterator[T]: ...


def run_on(connection: AsyncConnection) -> Run:
    """Tasks run on this connection, one after the other."""

    async def run(task: Task[T], arguments: AsyncIterator[tuple[Any, ...]]) -> AsyncIterator[T]:
        async for each in arguments:
            yield await task(connection, *each)

    return run


@asynccontextmanager
async def connect(settings: DatabaseSettings, snapshot: str | None = None) -> AsyncIterator[AsyncConnection]:
    """A connection with a snapshot: its own, or one that another connection has exported. `verify` needs one."""
    engine = create_job_engine(settings)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        if snapshot:
            await connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        try:
            yield connection
        except asyncpg.PostgresError:
            # SQLAlchemy does not know of an error of the driver, and would try to roll back on a lost connection.
            await connection.invalidate()
            raise
    await engine.dispose()


class Processes:
    """Runs tasks in a process for each core. Each has a connection of its own, and all see one snapshot."""

    def __init__(self, settings: DatabaseSettings, snapshot: str) -> None:
        self._settings, self._snapshot = settings, snapshot
        self._workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"))

    async def run(self, task: Task[T], arguments: AsyncIterator[tuple[Any, ...]]) -> AsyncIterator[T]:
        """As `Run`."""
        loop, running = asyncio.get_running_loop(), deque[asyncio.Future[T]]()
        async for each in arguments:
            running.append(
                loop.run_in_executor(self._pool, _run_in_process, self._settings, self._snapshot, task, each)
            )
            if len(running) > 2 * self._workers:
                yield await running.popleft()
        while running:
            yield await running.popleft()

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _run_in_process(settings: DatabaseSettings, snapshot: str, task: Task[T], arguments: tuple[Any, ...]) -> T:
    async def run() -> T:
        async with connect(settings, snapshot) as connection:
            return await task(connection, *arguments)

    with exit_with_one_line("verify", ADVICE_BY_SQLSTATE):
        return asyncio.run(run())
