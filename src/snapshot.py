"""A long read: the rows of one statement, fetched piece by piece from one snapshot."""

from contextlib import suppress
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement
from asyncpg.transaction import Transaction
from sqlalchemy.pool import PoolProxiedConnection

from src.connection_pool import ConnectionPool
from src.database import as_sqlalchemy
from src.driver import Connection
from src.statement import Statement

_CURSOR = "snapshot"


class SnapshotConnection:
    """Runs one statement, and holds its connection until `close`. It connects for the statement.

    It declares the cursor in SQL. For such a cursor PostgreSQL plans so that the first rows come soon, and reads them
    in the order of an index. For a cursor of the protocol it may sort all rows before it returns the first.

    asyncpg fetches the rows: SQLAlchemy's result takes a fifth of the CPU of an export (tests/benchmarks/README.md).
    """

    _borrowed: PoolProxiedConnection
    _transaction: Transaction
    _statement: Statement
    _fetch: PreparedStatement

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._is_open = False

    async def execute(self, statement: Statement, rows: int, **values: Any) -> None:
        """Start the statement. Each `fetch` returns up to `rows` of its rows. Raises `sqlalchemy.exc.DBAPIError`."""
        self._borrowed = await self._pool.acquire()
        self._is_open = True
        connection = self._borrowed.driver_connection
        assert isinstance(connection, Connection)
        self._statement, self._transaction = statement, connection.transaction()
        try:
            await self._transaction.start()
            await connection.fetch(
                f"DECLARE {_CURSOR} NO SCROLL CURSOR FOR {statement.sql}", *statement.arguments(values)
            )
            self._fetch = await connection.prepare(f"FETCH {rows} FROM {_CURSOR}", name="")
        except asyncpg.PostgresError as error:
            raise as_sqlalchemy(error, statement) from error
        except BaseException:
            self._give_up()
            raise

    async def fetch(self) -> list[asyncpg.Record]:
        """The next rows; none at the end. Raises `sqlalchemy.exc.DBAPIError`."""
        try:
            return await self._fetch.fetch()
        except asyncpg.PostgresError as error:
            raise as_sqlalchemy(error, self._statement) from error
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Close the connection: it is lost or silent, or part of an answer is unread. So nobody may get it again."""
        self._borrowed.invalidate()

    async def close(self) -> None:
        """End the transaction, and give the connection back."""
        if not self._is_open:
            return
        try:
            await self._roll_back()
        finally:
            await self._pool.release(self._borrowed)

    async def _roll_back(self) -> None:
        has_ended = False
        try:
            if self._borrowed.is_valid:
                # The connection may be lost by now: PostgreSQL closes it if the reader is too slow.
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                    await self._transaction.rollback()
                    has_ended = True
        finally:
            if not has_ended and self._borrowed.is_valid:
                self._borrowed.invalidate()
