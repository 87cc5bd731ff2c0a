"""Asks the database whether it can be used, on connections of its own."""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src.audits import service as audit_service
from src.config import DatabaseSettings, Pooler
from src.database import driver_connection, sqlstate_of
from src.driver import keeps_prepared_statements
from src.exceptions import LimitsNotInForce
from src.health.constants import DEADLINE_SECONDS, DatabaseState
from src.health.exceptions import CheckFailed
from src.ledger import status as ledger_status
from src.ledger.constants import LedgerState
from src.ledger.exceptions import LedgerMissing

_ADVICE = "The operator has to set DATABASE_POOLER=transaction."
_MISSING_OBJECT_DETAIL = (
    "A table, a column or a right is missing. The operator has to restore it, or to grant the right."
)
_LEDGER_TIMEOUT_MS = 200
_SYNTAX_OR_ACCESS = "42"  # the class of SQLSTATE
_READ_ONLY_DETAIL = "It only reads: it is a standby, or default_transaction_read_only is on."
_LOST_STATEMENTS_DETAIL = f"A pooler loses prepared statements between two transactions. {_ADVICE}"
# By a part of PgBouncer's message.
_REFUSAL_DETAILS = {
    "unsupported startup parameter": f"A pooler refuses the limits that the service sets when it connects. {_ADVICE}",
    "statement pooling mode": "A pooler in statement mode refuses transactions. The operator has to set another mode.",
}


@dataclass(frozen=True)
class Probe:
    """`detail` says what is wrong, if the probe knows; the rest is None if it did not reach the database."""

    state: DatabaseState
    detail: str | None
    latency_ms: float | None = None
    revision: str | None = None
    ledger: LedgerState | None = None


class DatabaseProbe:
    """Probes the database. Callers at the same time share one probe."""

    def __init__(self, engine: AsyncEngine, settings: DatabaseSettings) -> None:
        """`engine` must make a new connection each time."""
        self._engine, self._settings = engine, settings
        self._running: asyncio.Task[Probe] | None = None

    async def result(self) -> Probe:
        """The result of the probe. Raises `CheckFailed` if it failed, or has not ended after `DEADLINE_SECONDS`.

        A probe that hangs is cancelled, but not awaited: to close its connection can take seconds.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(_probe(self._engine, self._settings))
            self._running.add_done_callback(_retrieve_exception)
        probe = self._running
        await asyncio.wait({probe}, timeout=DEADLINE_SECONDS)
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
    """Look at the exception, because asyncio logs exceptions that nobody has looked at."""
    if not probe.cancelled():
        probe.exception()


async def _probe(engine: AsyncEngine, settings: DatabaseSettings) -> Probe:
    try:
        async with engine.connect() as connection:
            probe, is_pooled = await _query(connection)
    except LimitsNotInForce as error:
        return Probe(DatabaseState.MISCONFIGURED, error.detail)
    except DBAPIError as error:
        for message, detail in _REFUSAL_DETAILS.items():
            if message in str(error.orig):
                return Probe(DatabaseState.MISCONFIGURED, detail)
        raise
    if is_pooled and settings.database_pooler is Pooler.NONE and not await _keeps_statements(engine):
        return Probe(DatabaseState.MISCONFIGURED, _LOST_STATEMENTS_DETAIL, probe.latency_ms, probe.revision)
    return probe


async def _query(connection: AsyncConnection) -> tuple[Probe, bool]:
    """The result, and whether there is a pooler: it tells its clients another process id than PostgreSQL's own."""
    started = time.perf_counter()
    backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    is_pooled = (await driver_connection(connection)).get_server_pid() != backend
    revision = None
    try:
        revision = await current_revision(connection)
        if revision is not None and not await audit_service.accepts_writes(connection):
            return Probe(DatabaseState.READ_ONLY, _READ_ONLY_DETAIL, latency_ms, revision), is_pooled
    except DBAPIError as error:
        if not sqlstate_of(error).startswith(_SYNTAX_OR_ACCESS):
            raise
        return Probe(DatabaseState.MISCONFIGURED, _MISSING_OBJECT_DETAIL, latency_ms, revision), is_pooled
    return Probe(DatabaseState.OK, None, latency_ms, revision, await _ledger_state(connection)), is_pooled


async def _ledger_state(connection: AsyncConnection) -> LedgerState | None:
    """None if the database cannot say soon, or has no ledger: it can be used all the same."""
    try:
        await connection.execute(text(f"SET LOCAL statement_timeout = {_LEDGER_TIMEOUT_MS}"))
        return await ledger_status.get_state(connection)
    except (DBAPIError, LedgerMissing):
        return None


async def _keeps_statements(engine: AsyncEngine) -> bool:
    async with engine.connect() as first, engine.connect() as second:
        return await keeps_prepared_statements(await driver_connection(first), await driver_connection(second))


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision that Alembic recorded; None if it never ran on this database."""
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num::text FROM alembic_version"))
    return revision
