"""What the database says of itself, asked on connections that nobody else uses."""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src.audits import service as audit_service
from src.config import DatabaseSettings, Pooler
from src.database import driver_connection
from src.driver import keeps_statements
from src.exceptions import LimitsNotInForce
from src.health.constants import DEADLINE, DatabaseState
from src.health.exceptions import CheckFailed

_ADVICE = "The operator has to set DATABASE_POOLER=transaction."
_LACKS_SOMETHING = "A table, a column or a right is missing. The operator has to restore it, or to grant the right."
_SYNTAX_OR_ACCESS = "42"  # a class of SQLSTATE
_ONLY_READS = "It only reads: it is a standby, or default_transaction_read_only is on."
_LOSES_STATEMENTS = f"A pooler loses prepared statements between two transactions. {_ADVICE}"
# What PgBouncer says, in part.
_REFUSALS = {
    "unsupported startup parameter": f"A pooler refuses the limits that the service sets when it connects. {_ADVICE}",
    "statement pooling mode": "A pooler in statement mode refuses transactions. The operator has to set another mode.",
}


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
            if self._running is probe:
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
            probe, is_pooled = await _ask(connection)
    except LimitsNotInForce as error:
        return Probe(DatabaseState.MISCONFIGURED, error.detail)
    except DBAPIError as error:
        for refusal, detail in _REFUSALS.items():
            if refusal in str(error.orig):
                return Probe(DatabaseState.MISCONFIGURED, detail)
        raise
    if is_pooled and settings.database_pooler is Pooler.NONE and not await _keeps_statements(engine):
        return Probe(DatabaseState.MISCONFIGURED, _LOSES_STATEMENTS, probe.latency_ms, probe.revision)
    return probe


async def _ask(connection: AsyncConnection) -> tuple[Probe, bool]:
    """The probe, and whether a pooler stands between: it gives its clients process numbers of its own."""
    started = time.perf_counter()
    backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    is_pooled = (await driver_connection(connection)).get_server_pid() != backend
    revision = None
    try:
        revision = await current_revision(connection)
        if revision is not None and not await audit_service.accepts_writes(connection):
            return Probe(DatabaseState.READ_ONLY, _ONLY_READS, latency_ms, revision), is_pooled
    except DBAPIError as error:
        if not (getattr(error.driver_exception, "sqlstate", None) or "").startswith(_SYNTAX_OR_ACCESS):
            raise
        return Probe(DatabaseState.MISCONFIGURED, _LACKS_SOMETHING, latency_ms, revision), is_pooled
    return Probe(DatabaseState.OK, None, latency_ms, revision), is_pooled


async def _keeps_statements(engine: AsyncEngine) -> bool:
    async with engine.connect() as first, engine.connect() as second:
        return await keeps_statements(await driver_connection(first), await driver_connection(second))


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision that Alembic has noted, if it ever ran here."""
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num::text FROM alembic_version"))
    return revision
