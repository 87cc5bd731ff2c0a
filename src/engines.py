"""Makes engines and pools of connections from the settings, each with the limits that its use needs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import URL, ExceptionContext, event, make_url
from sqlalchemy.exc import DisconnectionError, MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection
from sqlalchemy.util.concurrency import in_greenlet

from src.config import DatabaseSettings, FastPath, Pooler
from src.connection_pool import ConnectionPool
from src.driver import Connection, connect_with_limits, limited_connection

_LEDGER_STATEMENT_SECONDS = 30
# How many requests at once sum up records in each process.
_AGGREGATES = 2


def create_pool(settings: DatabaseSettings) -> ConnectionPool:
    """Make the pool that requests share. Every wait has a limit.

    This opens no connection. If the database is away, the first caller gets the error.
    """
    return _create_pool(settings, settings.database_pool_size, settings.database_max_overflow)


def create_stream_pool(settings: DatabaseSettings) -> ConnectionPool:
    """Make a pool of a few connections for long reads. The limits hold for each piece, and a reader may take longer.

    Each read is a transaction, which can set its limits behind any pooler.
    """
    changes = {
        "database_idle_timeout": settings.database_stream_idle_timeout,
        "database_pooler": Pooler.TRANSACTION,
    }
    return _create_pool(settings.model_copy(update=changes), settings.database_stream_pool_size, 0)


def create_aggregate_pool(settings: DatabaseSettings) -> ConnectionPool:
    """Make a pool of a few connections for histograms, facets and suggestions. The limits hold for each statement."""
    timeout = settings.aggregate_seconds
    changes = {
        "database_statement_timeout": timeout,
        "database_lock_timeout": min(timeout, settings.database_lock_timeout),
    }
    return _create_pool(settings.model_copy(update=changes), _AGGREGATES, 0)


def create_ledger_pool(settings: DatabaseSettings, size: int = 1) -> ConnectionPool:
    """Make a pool of `size` connections for the sealer, so that it waits for no request, and no request for it.

    Its statements may take longer than those of requests: after a long pause there is much to find.
    """
    changes = {
        "database_statement_timeout": _LEDGER_STATEMENT_SECONDS,
        "database_command_timeout": _LEDGER_STATEMENT_SECONDS + 1,
    }
    return _create_pool(settings.model_copy(update=changes), size, 0)


def create_job_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make the engine of a command that somebody runs, such as a migration: one connection, without limits of time.

    It also switches off the limits of the role or the database (`ALTER ROLE ... SET statement_timeout`): when it
    connects, or in each transaction if a pooler refuses that.
    """
    at_start = _session(settings, _NO_LIMITS)["server_settings"]
    in_transactions = _session_behind_pooler(_NO_LIMITS | {"transaction_timeout": "0"})
    return create_async_engine(
        database_url(settings),
        poolclass=NullPool,
        hide_parameters=True,
        json_deserializer=from_json,
        connect_args={"timeout": settings.database_connect_timeout} | in_transactions | {"server_settings": at_start},
    )


@asynccontextmanager
async def job_transaction(settings: DatabaseSettings) -> AsyncIterator[AsyncConnection]:
    """The transaction of a command that changes something: returning commits, raising rolls back."""
    engine = create_job_engine(settings)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


def create_probe_engine(settings: DatabaseSettings) -> AsyncEngine:
    """Make the engine of health checks: each check opens a connection, so that it waits for no other caller."""
    return _create_engine(settings, poolclass=NullPool)


def _create_pool(settings: DatabaseSettings, size: int, overflow: int) -> ConnectionPool:
    engine = _create_engine(
        settings,
        # `size` connections stay open. `ConnectionPool` limits how many there are, so this pool has no limit.
        pool_size=size,
        max_overflow=-1,
        # The connection that was used last comes first, so that a proxy can close those that stay idle.
        pool_use_lifo=True,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed_connection)
    event.listen(engine.sync_engine, "do_connect", _connect_in_greenlets_only)
    event.listen(engine.sync_engine, "handle_error", _close_silent_connection)
    return ConnectionPool(
        engine,
        size + overflow,
        settings.database_pool_timeout,
        lock_timeout=settings.database_lock_timeout,
        keeps=FastPath.KEPT_CONNECTIONS in settings.fast_paths,
    )


def _create_engine(settings: DatabaseSettings, **pool: Any) -> AsyncEngine:
    wanted = limits(settings)
    return create_async_engine(
        database_url(settings),
        # Otherwise errors quote their parameters, which clients have recorded.
        hide_parameters=True,
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
        connect_args={
            "timeout": settings.database_connect_timeout,
            "command_timeout": settings.database_command_timeout,
        }
        | _session(settings, wanted),
        **pool,
    )


def database_url(settings: DatabaseSettings) -> URL:
    """The URL as asyncpg takes it: what libpq calls `sslmode` is `ssl` there."""
    url = make_url(settings.database_url.get_secret_value())
    if "sslmode" not in url.query:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})


def limits(settings: DatabaseSettings) -> dict[str, str]:
    """The limits that PostgreSQL enforces, even if this process has died. Times are in milliseconds."""
    return {
        # Which index is best depends on the value, so each value gets its own plan (tests/benchmarks/README.md).
        "plan_cache_mode": "force_custom_plan",
        "statement_timeout": _milliseconds(settings.database_statement_timeout),
        "lock_timeout": _milliseconds(settings.database_lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(settings.database_idle_timeout),
    }


# PgBouncer tracks these two itself, and refuses most others.
_SESSION = {"application_name": "audit-trail", "timezone": "UTC"}
_NO_LIMITS = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}


def _session(settings: DatabaseSettings, wanted: dict[str, str]) -> dict[str, Any]:
    """The arguments for asyncpg of a connection with the `wanted` limits."""
    if settings.database_pooler is Pooler.TRANSACTION:
        return _session_behind_pooler(wanted, settings.database_command_timeout)
    return {
        "connection_class": Connection,
        "server_settings": _SESSION | wanted,
        "async_creator_fn": partial(connect_with_limits, wanted, settings.database_connect_timeout),
    }


def _session_behind_pooler(wanted: Mapping[str, str], seconds: float | None = None) -> dict[str, Any]:
    """The same behind a pooler: each transaction sets the limits, and no prepared statement outlives it."""
    return {
        "connection_class": limited_connection(wanted, seconds),
        "server_settings": _SESSION,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: "",
    }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _refuse_closed_connection(connection: Any, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Have the pool replace a connection that the server has closed meanwhile.

    It does the work of `pool_pre_ping` without its round trip: asyncpg knows that its socket was closed.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")


def _connect_in_greenlets_only(*_: Any) -> None:
    """Raise `MissingGreenlet` before SQLAlchemy begins to connect where it cannot wait."""
    if not in_greenlet():
        raise MissingGreenlet


def _close_silent_connection(context: ExceptionContext) -> None:
    """Close the connection to a server that does not answer, without a message that would wait for it again."""
    if isinstance(context.original_exception, TimeoutError) and context.connection:
        driver_connection = context.connection.connection.driver_connection
        assert driver_connection is not None
        driver_connection.terminate()
