"""What the database says of itself, asked on connections that nobody else uses."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src.audits import service as audit_service
from src.config import DatabaseSettings, Pooler
from src.database import driver_connection, limits
from src.health.constants import DEADLINE, DatabaseState
from src.health.exceptions import CheckFailed

_REFUSED_PARAMETER = "unsupported startup parameter"
_ADVICE = "Set DATABASE_POOLER=transaction."
_LOSES_STATEMENTS = f"A pooler loses prepared statements between two transactions. {_ADVICE}"
_REFUSES_LIMITS = f"A pooler refuses the limits that the service sets when it connects. {_ADVICE}"


@dataclass(frozen=True)
class Probe:
    """`detail` says what is wrong, if anything is known to be; the rest is None where the database was not reached."""

    state: DatabaseState
    detail: str | None
    latency_ms: float | None = None
    revision: str | None = None


class DatabaseProbe:
    """Asks the database how it is: once for all who want to know at the same time, however many they are."""

    def __init__(self, engine: AsyncEngine, settings: DatabaseSettings) -> None:
        """`engine` makes a new connection each time."""
        self._engine, self._settings = engine, settings
        self._running: asyncio.Task[Probe] | None = None

    async def result(self) -> Probe:
        """Raises `CheckFailed`. A probe that hangs is left to end by itself: closing it politely can take seconds."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(_probe(self._engine, self._settings))
            self._running.add_done_callback(_retrieve_exception)
        probe = self._running
        await asyncio.wait({probe}, timeout=DEADLINE)
        if not probe.done() or probe.cancelled():
            probe.cancel()
            self._running = None
            raise CheckFailed("no answer in time")
        try:
            return probe.result()
        except Exception as error:
            raise CheckFailed(type(error).__name__) from error


def _retrieve_exception(probe: asyncio.Task[Probe]) -> None:
    """Asyncio complains of an exception that nobody has looked at."""
    if not probe.cancelled():
        probe.exception()


async def _probe(engine: AsyncEngine, settings: DatabaseSettings) -> Probe:
    try:
        async with engine.connect() as connection:
            probe, is_pooled = await _ask(connection, limits(settings))
    except DBAPIError as error:
        if _REFUSED_PARAMETER not in str(error.orig):
            raise
        return Probe(DatabaseState.MISCONFIGURED, _REFUSES_LIMITS)
    needs_statements = settings.database_pooler is Pooler.NONE
    if is_pooled and needs_statements and not probe.detail and not await _keeps_statements(engine):
        return Probe(DatabaseState.MISCONFIGURED, _LOSES_STATEMENTS, probe.latency_ms, probe.revision)
    return probe


async def _ask(connection: AsyncConnection, wanted: Mapping[str, str]) -> tuple[Probe, bool]:
    """The probe, and whether a pooler stands between: it gives its clients process numbers of its own."""
    started = time.perf_counter()
    backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    is_pooled = (await driver_connection(connection)).get_server_pid() != backend
    missing = await _not_in_force(connection, wanted)
    revision = await current_revision(connection)
    if missing:
        detail = f"Something between the service and PostgreSQL drops {', '.join(missing)}. {_ADVICE}"
        return Probe(DatabaseState.MISCONFIGURED, detail, latency_ms, revision), is_pooled
    if revision is not None and not await audit_service.accepts_writes(connection):
        detail = "It only reads: a standby, or default_transaction_read_only is on."
        return Probe(DatabaseState.READ_ONLY, detail, latency_ms, revision), is_pooled
    return Probe(DatabaseState.OK, None, latency_ms, revision), is_pooled


async def _not_in_force(connection: AsyncConnection, wanted: Mapping[str, str]) -> list[str]:
    """The names of settings that are not as the service has asked for them."""
    found = await connection.execute(
        text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)"), {"names": list(wanted)}
    )
    in_force = {row.name: row.setting for row in found}
    return [name for name, value in wanted.items() if in_force.get(name) != value]


async def _keeps_statements(engine: AsyncEngine) -> bool:
    """Whether a prepared statement is there, and nobody else's, when its transaction has ended.

    A pooler that gives connections of PostgreSQL from hand to hand gives the one used last, or each in turn: then
    another client sees the statement by its name, or it is missing for ours. PgBouncer from 1.21 on can keep track of
    statements, under names of its own.
    """
    async with engine.connect() as first, engine.connect() as second:
        ours, others = await driver_connection(first), await driver_connection(second)
        try:
            statement = await ours.prepare("SELECT 1")
            await statement.fetchval()
            async with others.transaction():
                if await others.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)", statement.get_name()
                ):
                    return False
            await statement.fetchval()
        except asyncpg.InvalidSQLStatementNameError:
            return False
    return True


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision that Alembic has noted, if it ever ran here."""
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num::text FROM alembic_version"))
    return revision
