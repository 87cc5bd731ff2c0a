"""The connections that services take, and the naming convention of constraints.

- `AutocommitConnection`: single statements, each committed by itself.
- `TransactionConnection`: several statements that belong together.
- `SnapshotConnection` (`src/snapshot.py`): reads that have to see the same state, such as an export.
- `BoundedReads` (`src/bounded_reads.py`): reads that together take a limited time.
- `DriverTransaction` (`src/driver_transaction.py`): as `TransactionConnection`, on the fast path of `src/statement.py`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import CursorResult, Executable, MetaData, Result
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from src.connection_pool import ConnectionPool
from src.driver import Connection
from src.statement import Statement

# The names are those that PostgreSQL itself would give, so that a migration can address every constraint.
metadata = MetaData(
    naming_convention={
        "ix": "%(column_0_label)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


class AutocommitConnection:
    """Runs single statements: each takes a connection from the pool, commits itself and gives it back.

    So a request holds no connection while it waits for a slow client or for another service.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @property
    def lock_timeout(self) -> float:
        """Seconds that a statement waits for a lock, `DATABASE_LOCK_TIMEOUT`."""
        return self._pool.lock_timeout

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Result[*tuple[Any, ...]]:
        """As `AsyncConnection.execute`, with all rows: https://docs.sqlalchemy.org/en/21/core/connections.html.

        Raises `sqlalchemy.exc.DBAPIError`.
        """
        async with self._pool.connect() as connection, connection.begin():
            result = await connection.execute(statement, parameters)
            return result.freeze()() if result.returns_rows else result

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first value of the first row; None if there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def fetch(self, statement: Statement, **values: Any) -> list[asyncpg.Record]:
        """The fast path; see `src/statement.py`. Raises `sqlalchemy.exc.DBAPIError` too."""
        borrowed = await self._pool.acquire()
        try:
            connection = borrowed.driver_connection
            assert isinstance(connection, Connection)
            return await connection.fetch_committed(statement.sql, statement.arguments(values))
        except asyncpg.PostgresError as error:
            raise as_sqlalchemy(error, statement) from error
        except BaseException:
            # The connection is lost or silent, or a part of its answer is unread: nobody may get it after this.
            borrowed.invalidate()
            raise
        finally:
            await self._pool.release(borrowed)

    async def fetch_row(self, statement: Statement, **values: Any) -> asyncpg.Record:
        """The row of a statement that always returns one."""
        (row,) = await self.fetch(statement, **values)
        return row

    async def fetch_column(self, statement: Statement, **values: Any) -> list[Any]:
        """The first value of each row."""
        return [row[0] for row in await self.fetch(statement, **values)]


async def driver_connection(connection: AsyncConnection) -> Connection:
    """asyncpg's own connection under SQLAlchemy's."""
    raw = (await connection.get_raw_connection()).driver_connection
    assert isinstance(raw, Connection)
    return raw


def as_sqlalchemy(error: asyncpg.PostgresError, statement: Statement) -> DBAPIError:
    """The error that `execute` would raise, so that callers have to know one family of errors."""
    is_constraint = isinstance(error, asyncpg.IntegrityConstraintViolationError)
    return (IntegrityError if is_constraint else DBAPIError)(statement.sql, None, error)


def sqlstate_of(error: DBAPIError) -> str:
    """The code of PostgreSQL's error (documentation, appendix A); empty if the driver raised the error by itself."""
    return getattr(error.driver_exception, "sqlstate", None) or ""


def constraint_of(error: IntegrityError) -> str | None:
    """The name of the constraint that was violated."""
    return getattr(error.driver_exception, "constraint_name", None)


class TransactionConnection:
    """Runs the statements of one transaction. It connects for the first one: a refused request takes no connection.

    It is for domains that need several statements for a change, as `make domain` makes them. Audits need one.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: AsyncConnection | None = None

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        """As `AsyncConnection.execute`. Raises `sqlalchemy.exc.DBAPIError`."""
        if self._connection is None:
            self._connection = await self._pool.open()
        return await self._connection.execute(statement, parameters)

    async def scalar(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first value of the first row; None if there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def commit(self) -> None:
        if self._connection is not None:
            await self._connection.commit()

    async def close(self) -> None:
        """Rolls back what was not committed."""
        if self._connection is not None:
            await self._pool.close(self._connection)


@asynccontextmanager
async def transaction(pool: ConnectionPool) -> AsyncIterator[TransactionConnection]:
    """Run the block in a transaction: returning commits, raising rolls back."""
    connection = TransactionConnection(pool)
    try:
        yield connection
        await connection.commit()
    finally:
        await connection.close()
