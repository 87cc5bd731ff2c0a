"""A long read holds one connection, and leaves nothing open on it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from src.config import DatabaseSettings, Pooler
from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection
from src.engines import create_stream_pool
from src.snapshot import SnapshotConnection
from src.statement import Statement

NUMBERS = Statement(text("SELECT n FROM generate_series(1, 10) AS n"))
LEFT_OPEN = Statement(text("SELECT count(*) FROM pg_cursors WHERE name = 'snapshot'"))


@pytest.fixture(params=Pooler)
async def pool(database_settings: DatabaseSettings, request: pytest.FixtureRequest) -> AsyncIterator[ConnectionPool]:
    changes = {"database_stream_pool_size": 1, "database_pool_timeout": 0.2, "database_pooler": request.param}
    pool = create_stream_pool(database_settings.model_copy(update=changes))
    yield pool
    await pool.dispose()


async def test_rows_come_in_pieces_and_the_connection_is_free_afterwards(pool: ConnectionPool) -> None:
    another = AutocommitConnection(pool)
    for _ in range(2):
        long_read = SnapshotConnection(pool)
        assert await another.fetch_column(LEFT_OPEN) == [0]
        await long_read.execute(NUMBERS, 4)
        with pytest.raises(PoolTimeoutError):
            await another.fetch_column(LEFT_OPEN)
        pieces = [[row[0] for row in await long_read.fetch()] for _ in range(4)]
        assert pieces == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10], []]
        await long_read.close()
    assert await another.fetch_column(LEFT_OPEN) == [0]


async def test_statements_with_other_columns_and_parameters_follow_each_other(pool: ConnectionPool) -> None:
    for statement, values, row in (
        (Statement(text("SELECT 'one'")), {}, ("one",)),
        (Statement(text("SELECT 1, 2")), {}, (1, 2)),
        (Statement(text("SELECT n FROM generate_series(1, 9) AS n WHERE n >= :first")), {"first": 8}, (8,)),
    ):
        long_read = SnapshotConnection(pool)
        await long_read.execute(statement, 1, **values)
        assert [tuple(found) for found in await long_read.fetch()] == [row]
        await long_read.close()


async def test_a_read_that_fails_frees_its_connection(pool: ConnectionPool) -> None:
    long_read = SnapshotConnection(pool)
    await long_read.execute(Statement(text("SELECT 1 / (2 - n) FROM generate_series(1, 9) AS n")), 1)
    assert len(await long_read.fetch()) == 1
    with pytest.raises(DBAPIError) as raised:
        await long_read.fetch()
    assert getattr(raised.value.driver_exception, "sqlstate", None) == "22012"
    await long_read.close()
    assert await AutocommitConnection(pool).fetch_column(LEFT_OPEN) == [0]


@pytest.mark.usefixtures("database_settings")
async def test_a_connection_that_is_lost_meanwhile_is_replaced(
    pool: ConnectionPool, connection: asyncpg.Connection
) -> None:
    long_read = SnapshotConnection(pool)
    await long_read.execute(NUMBERS, 1)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
    await connection.execute(others, connection.get_server_pid())
    await long_read.close()
    assert await AutocommitConnection(pool).fetch_column(LEFT_OPEN) == [0]


async def test_nobody_gets_a_connection_whose_read_was_given_up(pool: ConnectionPool) -> None:
    long_read = SnapshotConnection(pool)
    await long_read.execute(Statement(text("SELECT pg_sleep(60) FROM generate_series(1, 2)")), 1)
    given_up = asyncio.create_task(long_read.fetch())
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await given_up
    # An exception that is its own cause would be freed by the garbage collector alone.
    assert raised.value.__cause__ is not raised.value
    await long_read.close()
    assert await AutocommitConnection(pool).fetch_column(LEFT_OPEN) == [0]
