"""asyncpg's connection as this service needs it, directly and behind a pooler.

**Statement names are unique in the world.** asyncpg counts its prepared statements from 1 in every process. A pooler in
transaction mode gives one connection of PostgreSQL to several processes, where the same name then means another
statement, and PostgreSQL runs that one without an error. With unique names the worst case is an error.

**Behind a pooler in transaction mode** (`DATABASE_POOLER=transaction`) nothing is left on a connection of PostgreSQL:
statements have no name and are sent anew with each execution, and each transaction sets its own limits.
"""

import uuid
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction


class Connection(asyncpg.Connection):
    """A connection whose prepared statements and cursors have names that no other connection uses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prefix = uuid.uuid4().hex
        self._numbers = count(1)

    def _get_unique_id(self, prefix: str) -> str:
        """asyncpg asks here for every name. PostgreSQL tells names apart by their first 63 bytes."""
        return f"{prefix}_{self._prefix}_{next(self._numbers):x}"

    async def fetch_committed(self, query: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        """The rows of a single statement, which is committed when this returns."""
        return await self.fetch(query, *arguments)


def limiting_connection(limits: Mapping[str, str]) -> type[Connection]:
    """The class of connections that set `limits` (settings of PostgreSQL) in each transaction."""
    set_limits = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in limits.items())

    class LimitingTransaction(Transaction):
        def __init__(self, connection: Connection, isolation: Any, *options: bool) -> None:
            super().__init__(connection, isolation, *options)
            self._limited = connection

        async def start(self) -> None:
            await super().start()
            await self._limited.execute(set_limits)

    class LimitingConnection(Connection):
        def transaction(
            self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False
        ) -> Transaction:
            return LimitingTransaction(self, isolation, readonly, deferrable)

        async def fetch_committed(self, query: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
            """In a transaction, which limits need: four round trips instead of one.

            What is given up, or not answered, leaves the transaction open: then the connection must be closed.
            """
            await self.execute(f"BEGIN; {set_limits}")
            try:
                rows = await self.fetch(query, *arguments)
            except asyncpg.PostgresError:
                await self.execute("ROLLBACK")
                raise
            await self.execute("COMMIT")
            return rows

    return LimitingConnection
