"""Reads that together take a bounded time of the database."""

import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from src.bounded_reads import BoundedPool, BoundedReads
from src.config import DatabaseSettings, Pooler
from src.connection_pool import ConnectionPool
from src.engines import create_aggregate_pool
from src.exceptions import DatabaseTimeout
from src.statement import Statement

_SLEEP = Statement(text("SELECT pg_sleep(CAST(CAST(:length AS text) AS float))"))
_NUMBER = Statement(text("SELECT count(*) FROM audit"))
_FAIL = Statement(text("SELECT 1 / 0"))
_SETTINGS = Statement(
    text(
        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), "
        "current_setting('jit'), current_setting('enable_seqscan')"
    )
)


@pytest.fixture(params=[Pooler.NONE, Pooler.TRANSACTION])
async def pool(database: DatabaseSettings, request: pytest.FixtureRequest) -> AsyncIterator[ConnectionPool]:
    pool = create_aggregate_pool(database.model_copy(update={"database_pooler": request.param}))
    yield pool
    await pool.dispose()


async def first_row(fetching: Awaitable[list[asyncpg.Record] | None]) -> tuple[Any, ...]:
    rows = await fetching
    assert rows
    return tuple(rows[0])


async def test_statements_share_their_time(pool: ConnectionPool) -> None:
    reads = BoundedReads(BoundedPool(pool, 0.5))
    started = time.monotonic()
    assert await reads.try_fetch(_SLEEP, 0.1, length="60") is None
    assert await first_row(reads.try_fetch(_NUMBER, 1)) == (0,)
    with pytest.raises(DatabaseTimeout):
        await reads.fetch(_SLEEP, length="60")
    with pytest.raises(DatabaseTimeout):
        await reads.fetch(_NUMBER)
    assert await reads.try_fetch(_NUMBER, 1) is None
    assert time.monotonic() - started < 5
    assert reads.seconds_left < 0.01
    await reads.close()


async def test_bounded_reads_see_one_snapshot_and_cannot_write(pool: ConnectionPool) -> None:
    reads = BoundedReads(BoundedPool(pool, 1.5))
    assert await first_row(reads.fetch(_SETTINGS)) == ("repeatable read", "on", "off", "on")
    assert await first_row(reads.try_fetch(_SETTINGS, 1, by_index=True)) == ("repeatable read", "on", "off", "off")
    assert await first_row(reads.fetch(_SETTINGS)) == ("repeatable read", "on", "off", "on")
    await reads.close()


async def test_another_error_is_raised_and_the_connection_is_used_again(pool: ConnectionPool) -> None:
    for _ in range(3):
        reads = BoundedReads(BoundedPool(pool, 1.5))
        with pytest.raises(DBAPIError, match="division by zero"):
            await reads.fetch(_FAIL)
        await reads.close()
    reads = BoundedReads(BoundedPool(pool, 1.5))
    assert await first_row(reads.fetch(_NUMBER)) == (0,)
    await reads.close()
