"""Connections go to those who have waited longest, and none is lost with somebody who gave up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from src.config import DatabaseSettings
from src.database import create_engine


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    """With one connection."""
    changes = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 2}
    engine = create_engine(database_settings.model_copy(update=changes))
    yield engine
    await engine.dispose()


async def test_who_has_waited_longest_is_served_first_whoever_comes_meanwhile(engine: AsyncEngine) -> None:
    served: list[int] = []

    async def work() -> None:
        for turn in range(5):
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                served.append(turn)

    await asyncio.gather(*(work() for _ in range(8)))
    # Who comes back at once comes after all who wait.
    assert served == sorted(served)


async def test_no_place_is_lost_with_those_who_gave_up(engine: AsyncEngine) -> None:
    async def connect() -> None:
        async with engine.connect():
            pass

    async with engine.connect():
        waiting = [asyncio.create_task(connect()) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        waiting[2].cancel()
    # Cancelled in the very moment in which it is given the place.
    waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results[3:]] == [type(None)] * 2
    async with asyncio.timeout(1):
        await asyncio.gather(*(connect() for _ in range(5)))


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
