"""asyncpg's connection as this service needs it, directly and behind a pooler.

**Statement names are unique in the world.** asyncpg counts its prepared statements from 1 in every process. A pooler in
transaction mode gives one connection of PostgreSQL to several processes, where the same name then means another
statement, and PostgreSQL runs that one without an error. With unique names the worst case is an error.

**Behind a pooler in transaction mode** (`DATABASE_POOLER=transaction`) nothing is left on a connection of PostgreSQL:
statements have no name and are sent anew with each execution, and each transaction sets its own limits.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, ClassVar

import asyncpg
from asyncpg.transaction import Transaction
from typing_extensions import override

from src.exceptions import LimitsNotInForce

# Versions of PostgreSQL, where not all of them know a setting.
_SINCE = {"transaction_timeout": (17,)}
_IS_PREPARED = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)"


class Connection(asyncpg.Connection):
    """A connection whose prepared statements and cursors have names that no other connection uses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prefix = uuid.uuid4().hex
        self._numbers = count(1)

    # asyncpg-stubs does not know this method, so mypy cannot check an `override`; tests/test_private_names.py does.
    def _get_unique_id(self, prefix: str) -> str:
        """asyncpg asks here for every name. PostgreSQL tells names apart by their first 63 bytes."""
        return f"{prefix}_{self._prefix}_{next(self._numbers):x}"

    async def require(self, limits: Mapping[str, str]) -> None:
        """Close the connection, and raise `LimitsNotInForce`, unless `limits` are in force (in PostgreSQL's own units).

        A pooler can take them and drop them without a word: PgBouncer does so with `ignore_startup_parameters`, and
        with `track_extra_parameters` for what PostgreSQL does not report.
        """
        try:
            async with self.transaction():
                rows = await self.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(limits))
            in_force = {row["name"]: row["setting"] for row in rows}
            if dropped := [name for name, value in limits.items() if in_force.get(name) != value]:
                raise LimitsNotInForce(
                    f"Something between the service and PostgreSQL drops {', '.join(dropped)}. "
                    "The operator has to set DATABASE_POOLER=transaction."
                )
        except BaseException:
            self.terminate()
            raise

    async def fetch_committed(self, query: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        """The rows of a single statement, which is committed when this returns."""
        return await self.fetch(query, *arguments)


async def connect_with_limits(limits: Mapping[str, str], seconds: float, **options: Any) -> Connection:
    """A connection on which `limits` are in force, within so many `seconds`.

    Raises `LimitsNotInForce`, `TimeoutError`, and what `asyncpg.connect` raises.
    """
    async with asyncio.timeout(seconds):
        connection: Connection = await asyncpg.connect(**options)
        await connection.require(limits)
    return connection


class LimitedConnection(Connection):
    """A connection that sets `limits` (settings of PostgreSQL) in each transaction.

    `seconds`: how long `fetch_committed` may take in all. A pooler lets BEGIN wait for a connection of PostgreSQL.
    """

    limits: ClassVar[Mapping[str, str]]
    seconds: ClassVar[float | None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        version = self.get_server_version()
        known = {name: value for name, value in self.limits.items() if version >= _SINCE.get(name, (0,))}
        self.set_limits = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in known.items())

    @override
    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Transaction:
        return _LimitedTransaction(self, isolation, readonly, deferrable)

    @override
    async def fetch_committed(self, query: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        """In a transaction, which limits need: three round trips instead of one.

        Closes the connection where the transaction may still be open.
        """
        has_ended = False
        try:
            async with asyncio.timeout(self.seconds):
                await self.execute(f"BEGIN; {self.set_limits}")
                try:
                    rows = await self.fetch(query, *arguments)
                except asyncpg.PostgresError:
                    await self.execute("ROLLBACK")
                    has_ended = True
                    raise
                await self.execute("COMMIT")
                has_ended = True
                return rows
        finally:
            if not has_ended:
                self.terminate()


class _LimitedTransaction(Transaction):
    def __init__(self, connection: LimitedConnection, isolation: Any, *options: bool) -> None:
        super().__init__(connection, isolation, *options)
        self._limited = connection

    @override
    async def start(self) -> None:
        try:
            await super().start()
            await self._limited.execute(self._limited.set_limits)
        except BaseException:
            # Without its limits: nobody knows that it has begun, and nothing would end it.
            self._limited.terminate()
            raise


def limited_connection(limits: Mapping[str, str], seconds: float | None = None) -> type[LimitedConnection]:
    """The class that asyncpg is to make connections of."""
    return type("LimitedConnection", (LimitedConnection,), {"limits": limits, "seconds": seconds})


async def keeps_statements(ours: Connection, others: Connection) -> bool:
    """Whether a prepared statement outlives its transaction, and is nobody else's then.

    A pooler in transaction mode hands out the connection of PostgreSQL that was used last, or each in turn: then the
    other client sees our statement by its name, or we miss it. PgBouncer can keep track of statements from 1.21 on.
    """
    try:
        statement = await ours.prepare("SELECT 1")
        await statement.fetchval()
        async with others.transaction():
            if await others.fetchval(_IS_PREPARED, statement.get_name()):
                return False
        await statement.fetchval()
    except asyncpg.InvalidSQLStatementNameError:
        return False
    return True
