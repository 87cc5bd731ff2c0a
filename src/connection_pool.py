"""The connections that requests share.

What it does: `ConnectionPool` lends them in the order in which callers ask. A connection that a caller gives back is
kept for the next one, and does not go through SQLAlchemy's pool.

Why: SQLAlchemy takes time to take a connection back and to lend it again (tests/benchmarks/README.md).

To switch off that connections are kept: leave `kept-connections` out of `FAST_PATHS`. The order is no option.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy.exc import EmulatedDBAPIException, MissingGreenlet
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool
from sqlalchemy.util import greenlet_spawn

from src.admission import Admission, NotAdmitted, patience


class ConnectionPool:
    """The connections of an engine, of which a limited number is in use at once. Other callers wait.

    SQLAlchemy's own pool would hand a free connection to whoever asks at that moment, before those who have waited for
    it: some callers waited for seconds (tests/benchmarks/README.md). So callers wait here, and a caller who is admitted
    finds a connection, or room to make one.
    """

    def __init__(
        self, engine: AsyncEngine, connections: int, timeout: float, lock_timeout: float, *, keeps: bool
    ) -> None:
        """`engine` is used by nobody else, and its pool has no limit.

        `timeout`: seconds to wait for a connection, `DATABASE_POOL_TIMEOUT`. `lock_timeout`: seconds that a statement
        on one of them waits for a lock, `DATABASE_LOCK_TIMEOUT`. `keeps`: whether `release` may keep a connection.
        """
        self.lock_timeout = lock_timeout
        assert isinstance(engine.pool, QueuePool)
        self._engine, self._pool = engine, engine.pool
        self._admission = Admission(connections, timeout)
        # Connections of the overflow are closed after their use, and only SQLAlchemy knows which these are.
        self._keeps = keeps and connections <= engine.pool.size()
        # Connections that `release` keeps for the next `acquire`.
        self._kept: list[PoolProxiedConnection] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """As `AsyncEngine.connect`. Raises `sqlalchemy.exc.TimeoutError`, `sqlalchemy.exc.DBAPIError`, `OSError`."""
        await self._admit()
        try:
            self._give_up_one()
            async with self._engine.connect() as connection:
                yield connection
        finally:
            self._admission.release()

    async def open(self) -> AsyncConnection:
        """As `connect`, for a caller that cannot use `async with`: `close` gives the connection back."""
        await self._admit()
        try:
            self._give_up_one()
            return await self._engine.connect().start()
        except BaseException:
            self._admission.release()
            raise

    async def close(self, connection: AsyncConnection) -> None:
        """Roll back what was not committed, and give the connection back."""
        try:
            await connection.close()
        finally:
            self._admission.release()

    async def acquire(self) -> PoolProxiedConnection:
        """Lend a connection of the driver, without SQLAlchemy's `AsyncConnection` around it. `release` gives it back.

        Raises `sqlalchemy.exc.TimeoutError`, and what the driver raises.
        """
        await self._admit()
        try:
            return await self._take()
        except BaseException:
            self._admission.release()
            raise

    async def release(self, borrowed: PoolProxiedConnection) -> None:
        try:
            if borrowed.is_valid and self._keeps:
                self._kept.append(borrowed)
            elif self._pool.overflow() > 0:
                # SQLAlchemy may close it now, and that is to wait.
                await greenlet_spawn(borrowed.close)
            else:
                borrowed.close()
        finally:
            self._admission.release()

    async def dispose(self) -> None:
        """Close every connection that is not in use."""
        while self._kept:
            self._give_up_one()
        await self._engine.dispose()

    async def _admit(self) -> None:
        try:
            await self._admission.admit(patience.get())
        except NotAdmitted:
            raise PoolTimeoutError("every connection is in use") from None
        # What comes after the first one is work that has begun.
        patience.set(1)

    def _give_up_one(self) -> None:
        """Give a connection that is kept here back to SQLAlchemy's pool."""
        if self._kept:
            self._kept.pop().close()

    async def _take(self) -> PoolProxiedConnection:
        if self._kept:
            # The one that was used last, as in SQLAlchemy's pool (`pool_use_lifo`).
            borrowed = self._kept.pop()
            if not _is_closed(borrowed):
                return borrowed
            # SQLAlchemy's pool replaces it.
            borrowed.close()
        try:
            if self._pool.checkedin():
                # Without a greenlet, which is only needed to wait (tests/benchmarks/README.md).
                with suppress(MissingGreenlet):
                    return self._pool.connect()
                # The server has closed it meanwhile. To open another one is to wait.
            return await self._engine.raw_connection()
        except EmulatedDBAPIException as error:
            raise error.driver_exception from None


def _is_closed(borrowed: PoolProxiedConnection) -> bool:
    """Whether the server has closed it meanwhile."""
    driver: Any = borrowed.driver_connection
    return driver is None or bool(driver.is_closed())
