"""Reads that together take a bounded time of the database."""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from src.connection_pool import ConnectionPool
from src.database import sqlstate_of
from src.driver import Connection
from src.driver_transaction import DriverTransaction
from src.exceptions import DatabaseTimeout
from src.statement import Statement

TOO_LONG = "This is too much to look at in time. Narrow the filter, or try again shortly."

_QUERY_CANCELED = "57014"
_LEAST_SECONDS = 0.002
_SAVEPOINT = Statement(text("SAVEPOINT attempt"))
_ROLLBACK = Statement(text("ROLLBACK TO SAVEPOINT attempt"))
# JIT compilation and the start of parallel workers take longer than these reads.
_LIMIT = Statement(
    text(
        "SELECT set_config('statement_timeout', :milliseconds, true), set_config('jit', 'off', true), "
        "set_config('max_parallel_workers_per_gather', '0', true), set_config('enable_seqscan', :others, true), "
        "set_config('enable_bitmapscan', :others, true)"
    )
)


@dataclass(frozen=True)
class BoundedPool:
    """Connections for bounded reads, and the seconds that those of one request may take together."""

    pool: ConnectionPool
    seconds: float


class BoundedReads(DriverTransaction):
    """Reads of one snapshot. It connects for the first one."""

    def __init__(self, connections: BoundedPool) -> None:
        super().__init__(connections.pool)
        self.seconds_left = connections.seconds

    @override
    async def fetch(self, statement: Statement, **values: Any) -> list[asyncpg.Record]:
        """All rows of a statement. Raises `DatabaseTimeout`, and as `DriverTransaction.fetch`."""
        rows = await self.try_fetch(statement, self.seconds_left, **values)
        if rows is None:
            raise DatabaseTimeout(TOO_LONG)
        return rows

    async def try_fetch(
        self, statement: Statement, seconds: float, *, by_index: bool = False, **values: Any
    ) -> list[asyncpg.Record] | None:
        """The same; None if the statement takes longer than these seconds, or than those that are left.

        `by_index`: PostgreSQL reads in the order of an index, where it can.
        """
        seconds = min(seconds, self.seconds_left)
        if seconds < _LEAST_SECONDS:
            return None
        # The first read connects. The wait for a connection does not count.
        await super().fetch(_SAVEPOINT)
        started = time.monotonic()
        try:
            others = "off" if by_index else "on"
            await super().fetch(_LIMIT, milliseconds=str(int(seconds * 1000)), others=others)
            return await super().fetch(statement, **values)
        except DBAPIError as error:
            if sqlstate_of(error) != _QUERY_CANCELED:
                raise
            await super().fetch(_ROLLBACK)
            return None
        finally:
            self.seconds_left -= time.monotonic() - started

    @override
    def _new_transaction(self, connection: Connection) -> Transaction:
        return connection.transaction(isolation="repeatable_read", readonly=True)
