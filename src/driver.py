"""asyncpg connections for this service, with and without a pooler.

**Statement names are globally unique.** asyncpg numbers its prepared statements from 1 in every process. A pooler in
transaction mode lets several processes share one connection of PostgreSQL. There the same name would mean another
process's statement, and PostgreSQL would run that one without an error. With unique names the worst case is an error.

**With a pooler in transaction mode** (`DATABASE_POOLER=transaction`) no state stays on a connection of PostgreSQL:
statements have no names and are sent with each execution, and each transaction sets its own limits.
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

# The first version of PostgreSQL that has the setting; every supported version has the others.
_MIN_SERVER_VERSIONS = {"transaction_timeout": (17,)}
_STATEMENT_EXISTS = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)"


class Connection(asyncpg.Connection):
    """A connection whose prepared statements and cursors have names that no other connection uses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prefix = uuid.uuid4().hex
        self._numbers = count(1)

    # asyncpg-stubs does not know this method, so mypy cannot check an `override`; tests/test_private_names.py does.
    def _get_unique_id(self, prefix: str) -> str:
        """The name of a statement or cursor. PostgreSQL compares only the first 63 bytes of names."""
        return f"{prefix}_{self._prefix}_{next(self._numbers):x}"

    async def require(self, limits: Mapping[str, str]) -> None:
        """Check that the settings `limits` are in force. Values are in PostgreSQL's own units.

        Closes the connection and raises `LimitsNotInForce` if they are not. A pooler can drop them silently: PgBouncer
        does with `ignore_startup_parameters`, and with `track_extra_parameters` for settings that PostgreSQL does not
        report.
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
        """Run a single statement and commit it. Returns its rows. Raises `asyncpg.PostgresError`."""
        return await self.fetch(query, *arguments)


async def connect_with_limits(limits: Mapping[str, str], seconds: float, **options: Any) -> Connection:
    """Connect, and check that `limits` are in force. Both together take at most `seconds`.

    Raises `LimitsNotInForce`, `TimeoutError`, and what `asyncpg.connect` raises.
    """
    async with asyncio.timeout(seconds):
        connection: Connection = await asyncpg.connect(**options)
        await connection.require(limits)
    return connection


class LimitedConnection(Connection):
    """A connection that sets `limits` (settings of PostgreSQL) in each transaction.

    `fetch_committed` takes at most `seconds`, because with a pooler BEGIN can wait for a connection of PostgreSQL.
    """

    limits: ClassVar[Mapping[str, str]]
    seconds: ClassVar[float | None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        version = self.get_server_version()
        known = {name: value for name, value in self.limits.items() if version >= _MIN_SERVER_VERSIONS.get(name, (0,))}
        self.set_limits = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in known.items())

    @override
    def transaction(self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False) -> Transaction:
        return _LimitedTransaction(self, isolation, readonly, deferrable)

    @override
    async def fetch_committed(self, query: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        """Run the statement in a transaction, which sets the limits: three round trips instead of one.

        If the transaction may still be open at the end, the connection is closed.
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
            # The transaction may be open without its limits. The caller does not know that, so nobody would end it.
            self._limited.terminate()
            raise


def limited_connection(limits: Mapping[str, str], seconds: float | None = None) -> type[LimitedConnection]:
    """The class to give to asyncpg as `connection_class`."""
    return type("LimitedConnection", (LimitedConnection,), {"limits": limits, "seconds": seconds})


async def keeps_prepared_statements(ours: Connection, others: Connection) -> bool:
    """Whether a prepared statement stays on its connection after a transaction, and only there.

    A pooler in transaction mode assigns the connection of PostgreSQL that was used last, or each in turn. In the first
    case the other client sees our statement by its name; in the second our statement is missing. PgBouncer can track
    prepared statements since 1.21.
    """
    try:
        statement = await ours.prepare("SELECT 1")
        await statement.fetchval()
        async with others.transaction():
            if await others.fetchval(_STATEMENT_EXISTS, statement.get_name()):
                return False
        await statement.fetchval()
    except asyncpg.InvalidSQLStatementNameError:
        return False
    return True
