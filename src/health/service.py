"""The checks that need the database, and what their results mean together."""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src import __version__
from src.health.constants import DEADLINE, AIState, DatabaseState, MigrationState, State
from src.health.exceptions import CheckFailed
from src.health.schemas import AICheck, Checks, DatabaseCheck, Health, MigrationCheck
from src.migrations import Revisions


@dataclass(frozen=True)
class Probe:
    """What the database said of itself."""

    latency_ms: float
    read_only: bool
    revision: str | None


class DatabaseProbe:
    """Asks the database how it is: once for all who want to know at the same time, however many they are."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._running: asyncio.Task[Probe] | None = None

    async def result(self) -> Probe:
        """Raises `CheckFailed`. What hangs is left to end by itself: giving it up politely can take seconds."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(_probe(self._engine))
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


async def check(database_probe: DatabaseProbe, revisions: Revisions, *, ai_configured: bool) -> Health:
    """Answers within `DEADLINE` seconds, whatever the database does."""
    ai = AICheck(status=AIState.CONFIGURED if ai_configured else AIState.NOT_CONFIGURED)
    try:
        probe = await database_probe.result()
    except CheckFailed:
        database = DatabaseCheck(status=DatabaseState.UNAVAILABLE, latency_ms=None)
        migrations = MigrationCheck(status=MigrationState.UNKNOWN, current=None, expected=revisions.head)
    else:
        state = DatabaseState.READ_ONLY if probe.read_only else DatabaseState.OK
        database = DatabaseCheck(status=state, latency_ms=probe.latency_ms)
        migrations = MigrationCheck(
            status=_migration_state(probe.revision, revisions), current=probe.revision, expected=revisions.head
        )
    ready = database.status is DatabaseState.OK and migrations.status in (MigrationState.OK, MigrationState.AHEAD)
    return Health(
        status=State.OK if ready else State.UNAVAILABLE,
        version=__version__,
        checks=Checks(database=database, migrations=migrations, ai=ai),
    )


def _migration_state(current: str | None, revisions: Revisions) -> MigrationState:
    if current == revisions.head:
        return MigrationState.OK
    if current is None:
        return MigrationState.MISSING
    return MigrationState.BEHIND if current in revisions.known else MigrationState.AHEAD


async def _probe(engine: AsyncEngine) -> Probe:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        started = time.perf_counter()
        read_only: bool = await connection.scalar(text("SELECT current_setting('transaction_read_only')::boolean"))
        latency_ms = round((time.perf_counter() - started) * 1000, 2)
        return Probe(latency_ms, read_only, await current_revision(connection))


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision that Alembic has noted, if it ever ran here."""
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num::text FROM alembic_version"))
    return revision
