"""Connections go to those who have waited longest, and none is lost, however its use ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from src.admission import patience
from src.config import DatabaseSettings
from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection, transaction
from src.engines import create_pool
from src.statement import Statement
from tests.outages import wait_until_blocked

Use = Callable[[ConnectionPool, str], Coroutine[Any, Any, None]]


async def by_statement(pool: ConnectionPool, sql: str) -> None:
    await AutocommitConnection(pool).fetch(Statement(text(sql)))


async def by_autocommit(pool: ConnectionPool, sql: str) -> None:
    await AutocommitConnection(pool).execute(text(sql))


async def by_transaction(pool: ConnectionPool, sql: str) -> None:
    async with transaction(pool) as connection:
        await connection.execute(text(sql))


async def by_connect(pool: ConnectionPool, sql: str) -> None:
    async with pool.connect() as connection:
        await connection.execute(text(sql))


every_use = pytest.mark.parametrize("use", [by_statement, by_autocommit, by_transaction, by_connect])


def pool_with(
    settings: DatabaseSettings, *, connections: int = 1, overflow: int = 0, timeout: float = 60
) -> ConnectionPool:
    changes = {
        "database_pool_size": connections,
        "database_max_overflow": overflow,
        "database_pool_timeout": timeout,
    }
    return create_pool(settings.model_copy(update=changes))


@pytest.fixture
async def pool(database: DatabaseSettings) -> AsyncIterator[ConnectionPool]:
    """With one connection, and patience."""
    pool = pool_with(database)
    yield pool
    await pool.dispose()


@pytest.fixture
async def hasty_pool(database: DatabaseSettings) -> AsyncIterator[ConnectionPool]:
    """With one connection, for which nobody waits long."""
    pool = pool_with(database, timeout=0.05)
    yield pool
    await pool.dispose()


async def test_callers_are_served_in_the_order_of_their_arrival(database: DatabaseSettings) -> None:
    """SQLAlchemy's own pool served some of as many after 1.9 s, most after 10 ms."""
    pool = pool_with(database, connections=20)
    for borrowed in await asyncio.gather(*(pool.acquire() for _ in range(20))):
        await pool.release(borrowed)
    asked, served = [], []

    async def use(caller: int) -> None:
        for _ in range(5):
            asked.append(caller)
            borrowed = await pool.acquire()
            served.append(caller)
            await asyncio.sleep(0)
            await pool.release(borrowed)

    await asyncio.gather(*(use(caller) for caller in range(32)))
    assert served == asked
    await pool.dispose()


@every_use
async def test_a_connection_goes_to_a_waiting_caller_before_a_newcomer(pool: ConnectionPool, use: Use) -> None:
    held, order = await pool.acquire(), []

    async def wait() -> None:
        await use(pool, "SELECT 1")
        order.append("waited")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await pool.release(held)
    again = await pool.acquire()
    order.append("came again")
    await pool.release(again)
    await waiting
    assert order == ["waited", "came again"]


async def test_both_ways_to_borrow_share_the_connections(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    pool = pool_with(database_settings, connections=2)
    for use in (by_statement, by_transaction, by_statement, by_connect, by_autocommit):
        await asyncio.gather(use(pool, "SELECT pg_sleep(0.01)"), use(pool, "SELECT pg_sleep(0.01)"))
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await connection.fetchval(others) == 2
    await pool.dispose()
    while await connection.fetchval(others):  # noqa: ASYNC110 (PostgreSQL has no event for the end of a session)
        await asyncio.sleep(0.01)


@every_use
async def test_no_place_is_lost_with_those_who_give_up(pool: ConnectionPool, use: Use) -> None:
    held = await pool.acquire()
    early, late, patient = [asyncio.create_task(use(pool, "SELECT 1")) for _ in range(3)]
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.sleep(0)
    await pool.release(held)
    # It has been given the place and does not know yet.
    late.cancel()
    await patient
    await use(pool, "SELECT 1")
    assert early.cancelled()
    assert late.cancelled()


@every_use
async def test_a_caller_who_gives_up_during_a_statement_loses_no_place(
    pool: ConnectionPool, use: Use, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(use(pool, "SELECT FROM audit"))
        await wait_until_blocked(connection)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await use(pool, "SELECT 1")


async def test_a_caller_who_gives_up_while_an_overflow_connection_closes_loses_no_place(
    database: DatabaseSettings,
) -> None:
    pool = pool_with(database, overflow=1, timeout=0.05)
    kept, surplus = [await pool.acquire() for _ in range(2)]
    await pool.release(kept)
    closing = asyncio.create_task(pool.release(surplus))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    for borrowed in [await pool.acquire() for _ in range(2)]:
        await pool.release(borrowed)
    await pool.dispose()


async def test_connections_are_limited_and_those_of_the_overflow_are_closed_after_use(
    database: DatabaseSettings,
) -> None:
    pool = pool_with(database, connections=2, overflow=1, timeout=0.05)
    borrowed = [await pool.acquire() for _ in range(3)]
    with pytest.raises(PoolTimeoutError):
        await pool.acquire()
    drivers = [each.driver_connection for each in borrowed]
    for each in borrowed:
        await pool.release(each)
    assert [driver.is_closed() for driver in drivers if driver] == [False, False, True]
    await pool.dispose()


@every_use
async def test_a_wait_has_an_end(hasty_pool: ConnectionPool, use: Use) -> None:
    held = await hasty_pool.acquire()
    with pytest.raises(PoolTimeoutError):
        await use(hasty_pool, "SELECT 1")
    await hasty_pool.release(held)
    await use(hasty_pool, "SELECT 1")


@every_use
async def test_a_request_without_patience_is_not_kept_waiting(pool: ConnectionPool, use: Use) -> None:
    held = await pool.acquire()
    patience.set(0)
    with pytest.raises(PoolTimeoutError):
        await use(pool, "SELECT 1")
    await pool.release(held)
    await use(pool, "SELECT 1")
    # Work has begun.
    assert patience.get() == 1


@every_use
async def test_a_connection_that_cannot_be_made_keeps_no_place(use: Use) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    pool = create_pool(DatabaseSettings.model_validate({"database_url": url, "database_pool_size": 1}))
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await use(pool, "SELECT 1")
    await pool.dispose()
