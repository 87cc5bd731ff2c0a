"""The shared asynchronous engine, and how tables name their constraints."""

from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import URL, MetaData, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from src.config import DatabaseSettings

# The keys are those that PostgreSQL gives to what it names itself, so that a migration can address every constraint.
metadata = MetaData(
    naming_convention={
        "ix": "%(column_0_label)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def create_engine(settings: DatabaseSettings, *, pool_size: int | None = None) -> AsyncEngine:
    """An engine whose every wait is bounded; `pool_size` makes it one of exactly that many connections.

    Nothing is connected yet: a database that is away shows when a connection is asked for.
    """
    engine = create_async_engine(
        database_url(settings),
        pool_size=pool_size or settings.database_pool_size,
        max_overflow=0 if pool_size else settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        # The connection used last is the warmest, and the others can be closed by a proxy that counts idle time.
        pool_use_lifo=True,
        # Errors quote their parameters otherwise, and these are what people record.
        hide_parameters=True,
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
        connect_args={
            "timeout": settings.database_connect_timeout,
            "command_timeout": settings.database_command_timeout,
            "server_settings": server_settings(settings),
        },
    )
    event.listen(engine.sync_engine, "checkout", refuse_closed_connection)
    return engine


def database_url(settings: DatabaseSettings) -> URL:
    """The URL as asyncpg takes it: what libpq calls `sslmode` is `ssl` there."""
    url = make_url(settings.database_url.get_secret_value())
    if "sslmode" not in url.query:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})


def server_settings(settings: DatabaseSettings) -> dict[str, str]:
    """Limits that the server itself keeps, in milliseconds; they hold also when this process has died."""
    return {
        "application_name": "audit-trail",
        "timezone": "UTC",
        "statement_timeout": _milliseconds(settings.database_statement_timeout),
        "lock_timeout": _milliseconds(settings.database_lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(2 * settings.database_command_timeout),
    }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def refuse_closed_connection(connection: Any, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Have the pool replace a connection that the server has closed meanwhile.

    It does the work of `pool_pre_ping` without its round trip: asyncpg knows that its socket was closed.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")
