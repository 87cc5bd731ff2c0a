"""Transactions on the fast path (`src/statement.py`): asyncpg runs them, and SQLAlchemy only lends the connection.

For the ledger, which seals each second: with `TransactionConnection`, SQLAlchemy would take longer than PostgreSQL.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy.pool import PoolProxiedConnection

from src.connection_pool import ConnectionPool
from src.database import as_sqlalchemy
from src.driver import Connection
from src.statement import Statement

logger = logging.getLogger(__name__)


class DriverTransaction:
    """Runs the statements of one transaction. It connects for the first one."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._borrowed: PoolProxiedConnection | None = None
        self._transaction: Transaction | None = None

    async def fetch(self, statement: Statement, **values: Any) -> list[asyncpg.Record]:
        """All rows of a statement. Raises `sqlalchemy.exc.DBAPIError`, and what the driver raises."""
        try:
            connection = await self._begin()
            return await connection.fetch(statement.sql, *statement.arguments(values))
        except asyncpg.PostgresError as error:
            raise as_sqlalchemy(error, statement) from error
        except BaseException:
            self._invalidate()
            raise

    async def fetch_row(self, statement: Statement, **values: Any) -> asyncpg.Record:
        """The row of a statement that always returns one."""
        (row,) = await self.fetch(statement, **values)
        return row

    async def commit(self) -> None:
        """Raises what the driver raises: then nobody knows whether it is committed."""
        if self._transaction:
            try:
                await self._transaction.commit()
            except BaseException:
                self._invalidate()
                raise
            self._transaction = None

    async def close(self) -> None:
        """Rolls back what was not committed. Where that fails the connection is lost, and PostgreSQL rolls back."""
        try:
            if self._transaction:
                await self._transaction.rollback()
                self._transaction = None
        except Exception as error:
            logger.warning("a connection is closed: rolling back failed with %s", type(error).__name__)
            self._invalidate()
        except BaseException:
            self._invalidate()
            raise
        finally:
            if self._borrowed:
                borrowed, self._borrowed = self._borrowed, None
                await self._pool.release(borrowed)

    async def _begin(self) -> Connection:
        if self._borrowed is None:
            self._borrowed = await self._pool.acquire()
        connection = self._borrowed.driver_connection
        assert isinstance(connection, Connection)
        if self._transaction is None:
            transaction = self._new_transaction(connection)
            await transaction.start()
            self._transaction = transaction
        return connection

    def _new_transaction(self, connection: Connection) -> Transaction:
        """The transaction that `_begin` starts."""
        return connection.transaction()

    def _invalidate(self) -> None:
        """The connection is lost or silent, or a part of its answer is unread: nobody may get it after this."""
        self._transaction = None
        if self._borrowed and self._borrowed.is_valid:
            self._borrowed.invalidate()


@asynccontextmanager
async def driver_transaction(pool: ConnectionPool) -> AsyncIterator[DriverTransaction]:
    """Run the block in a transaction: returning commits, raising rolls back."""
    connection = DriverTransaction(pool)
    try:
        yield connection
        await connection.commit()
    finally:
        await connection.close()
