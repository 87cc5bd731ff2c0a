"""How Alembic runs here: on the service's own settings and logging, and never twice at once."""

import asyncio
import logging.config
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src.config import AppSettings, DatabaseSettings
from src.database import driver_connection
from src.engines import create_job_engine
from src.job_errors import exit_with_one_line
from src.log import logging_config
from src.migrations import MIGRATION_LOCK, SET_LOCK_TIMEOUT, analyze
from src.models import metadata
from src.schema_revisions import load_schema_revisions

_LOCK_PAUSE_SECONDS = 0.2
_SECOND_CONNECTION_SECONDS = 10
# A table is there already. Where a revision is recorded, this would be an error of a migration.
_ADVICE_WITHOUT_REVISION = {
    "42P07": "no revision is recorded here; restore the table alembic_version too, or migrate a database of its own"
}


def of_this_project(name: str | None, kind: str, _parents: Any) -> bool:
    """Somebody else's tables in the same database are none of our business."""
    return kind != "table" or name in metadata.tables


def migrate(connection: Connection) -> None:
    context.configure(connection, target_metadata=metadata, include_name=of_this_project, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text(SET_LOCK_TIMEOUT))
        heads = context.get_context().get_current_heads()
        if takes_back() and not heads:
            raise SystemExit("migrations: no revision is applied here, so there is none to take back")
        if unknown := ", ".join(set(heads) - load_schema_revisions().known):
            raise SystemExit(
                f"migrations: the database is at revision {unknown}, which this release does not know: "
                "migrate with the release that made it, or with a newer one"
            )
        with exit_with_one_line("migrations", {} if heads else _ADVICE_WITHOUT_REVISION):
            context.run_migrations()


def takes_back() -> bool:
    """Whether a number of revisions is to be taken back, as by `make rollback`."""
    return str(getattr(context.config.cmd_opts, "revision", "")).startswith("-")


@asynccontextmanager
async def only_one_at_a_time(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A second migration waits here until the first has ended, and then finds nothing left to do.

    The lock is tried, not waited for: whoever waits in a statement has a snapshot, and CREATE INDEX CONCURRENTLY would
    wait for that. It is the session's, so that it is lost only with the connection that migrates.
    """
    async with engine.connect() as connection:
        if await is_pooled(connection):
            async with locked_by_transaction(engine):
                yield connection
            return
        await _wait_for_lock(connection, "SELECT pg_try_advisory_lock(:key)")
        await connection.commit()
        yield connection


async def is_pooled(connection: AsyncConnection) -> bool:
    """Whether there is a pooler: it tells its clients another process id than PostgreSQL's own."""
    backend = await connection.scalar(text("SELECT pg_backend_pid()"))
    await connection.rollback()
    return bool((await driver_connection(connection)).get_server_pid() != backend)


@asynccontextmanager
async def locked_by_transaction(engine: AsyncEngine) -> AsyncIterator[None]:
    """The same behind a pooler, where only a transaction keeps a server's connection: it is one more."""
    async with engine.connect() as connection:
        try:
            async with asyncio.timeout(_SECOND_CONNECTION_SECONDS):
                await connection.execute(text("SELECT 1"))
        except TimeoutError:
            raise SystemExit(
                "migrations: the pooler has no second connection to the server: connect to PostgreSQL itself"
            ) from None
        await _wait_for_lock(connection, "SELECT pg_try_advisory_xact_lock(:key)")
        # It may idle; and this statement, which needs no snapshot, ends the one before, which has kept its own.
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield


async def _wait_for_lock(connection: AsyncConnection, attempt: str) -> None:
    while not await connection.scalar(text(attempt), {"key": MIGRATION_LOCK}):
        await connection.rollback()
        await asyncio.sleep(_LOCK_PAUSE_SECONDS)


async def main() -> None:
    settings = context.config.attributes.get("database_settings") or DatabaseSettings.load()
    engine = create_job_engine(settings)
    async with only_one_at_a_time(engine) as connection:
        await connection.run_sync(migrate)
        await connection.run_sync(analyze)
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations here look at what the tables hold, so they need a database: --sql is not supported")
# Run from another program, logging is that program's business.
if context.config.cmd_opts:
    settings = AppSettings.load()
    logging.config.dictConfig(logging_config(settings.log_level, settings.log_max_line_bytes))
with exit_with_one_line("migrations"):
    asyncio.run(main())
