"""Connections go to those who have waited longest, and none is lost with somebody who gave up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from src.config import DatabaseSettings
from src.database import create_engine


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    """With one connection."""
    changes = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 2}
    engine = create_engine(database_settings.model_copy(update=changes))
    yield engine
    await engine.dispose()


async def borrow_and_return(engine: AsyncEngine) -> None:
    borrowed = await engine.raw_connection()
    await greenlet_spawn(borrowed.close)


async def test_who_has_waited_is_served_before_who_comes_just_then(engine: AsyncEngine) -> None:
    held, order = await engine.raw_connection(), []

    async def wait() -> None:
        await borrow_and_return(engine)
        order.append("waited")

    def return_and_come_again() -> None:
        held.close()
        again = engine.sync_engine.raw_connection()
        order.append("came again")
        again.close()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await greenlet_spawn(return_and_come_again)
    await waiting
    assert order == ["waited", "came again"]


async def test_no_place_is_lost_with_those_who_give_up(engine: AsyncEngine) -> None:
    held = await engine.raw_connection()
    early, late, patient = [asyncio.create_task(borrow_and_return(engine)) for _ in range(3)]
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.sleep(0)

    def return_and_cancel() -> None:
        held.close()
        # It has been given the place and does not know yet.
        late.cancel()

    await greenlet_spawn(return_and_cancel)
    async with asyncio.timeout(1):
        await patient
        await borrow_and_return(engine)
    assert early.cancelled()
    assert late.cancelled()


async def test_no_place_is_lost_with_who_gives_up_while_a_connection_of_the_overflow_is_closed(
    database_settings: DatabaseSettings,
) -> None:
    changes = {"database_pool_size": 1, "database_max_overflow": 1, "database_pool_timeout": 0.05}
    engine = create_engine(database_settings.model_copy(update=changes))
    kept, surplus = [await engine.raw_connection() for _ in range(2)]
    kept.close()
    closing = asyncio.create_task(greenlet_spawn(surplus.close))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    for borrowed in [await engine.raw_connection() for _ in range(2)]:
        await greenlet_spawn(borrowed.close)
    await engine.dispose()


async def test_a_wait_has_an_end(database_settings: DatabaseSettings) -> None:
    changes = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 0.05}
    engine = create_engine(database_settings.model_copy(update=changes))
    async with engine.connect():
        with pytest.raises(PoolTimeoutError):
            await engine.connect()
    async with engine.connect():
        pass
    await engine.dispose()


async def test_a_connection_that_cannot_be_made_keeps_no_place() -> None:
    engine = create_engine(
        DatabaseSettings.model_validate(
            {"database_url": "postgresql://nobody@127.0.0.1:1/none", "database_pool_size": 1}
        )
    )
    for _ in range(30):
        with pytest.raises(ConnectionRefusedError):
            await engine.connect()
    await engine.dispose()
