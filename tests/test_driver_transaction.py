"""Transactions that asyncpg runs."""

import asyncio
import logging

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.statement import Statement

_NUMBER = Statement(text("SELECT pg_backend_pid(), pg_current_xact_id_if_assigned() IS NOT NULL"))
_TAKE_ID = Statement(text("SELECT pg_current_xact_id()::text"))
_STATUS = Statement(text("SELECT pg_xact_status(CAST(CAST(:id AS text) AS xid8))"))
_FAIL = Statement(text("SELECT 1 / 0"))
_TERMINATE = Statement(text("SELECT pg_terminate_backend(pg_backend_pid())"))
_HANG = Statement(text("SELECT pg_sleep(60)"))


async def test_returning_commits_and_raising_rolls_back(database: DatabaseSettings) -> None:
    pool = create_ledger_pool(database)
    async with driver_transaction(pool) as connection:
        (committed,) = await connection.fetch_row(_TAKE_ID)
    failed: list[str] = []

    async def fail() -> None:
        async with driver_transaction(pool) as connection:
            failed.extend(await connection.fetch_row(_TAKE_ID))
            await connection.fetch(_FAIL)

    with pytest.raises(DBAPIError):
        await fail()
    async with driver_transaction(pool) as connection:
        (given_up,) = await connection.fetch_row(_TAKE_ID)
        await connection.close()
    async with driver_transaction(pool) as connection:
        rows = [await connection.fetch_row(_STATUS, id=each) for each in (committed, *failed, given_up)]
    assert [status for (status,) in rows] == ["committed", "aborted", "aborted"]
    await pool.dispose()


async def test_a_connection_is_used_again_but_not_with_an_answer_unread(database: DatabaseSettings) -> None:
    pool = create_ledger_pool(database)
    used = []
    for _ in range(2):
        async with driver_transaction(pool) as connection:
            used.append(await connection.fetch_row(_NUMBER))
    assert used[0] == used[1]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), driver_transaction(pool) as connection:
            await connection.fetch(_HANG)
    async with driver_transaction(pool) as connection:
        assert (await connection.fetch_row(_NUMBER))[0] != used[0][0]
    await pool.dispose()


async def test_why_a_rollback_failed_is_logged_once_and_the_next_transaction_has_another_connection(
    database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    pool = create_ledger_pool(database)

    async def lose_the_connection() -> None:
        async with driver_transaction(pool) as connection:
            await connection.fetch(_TAKE_ID)
            await connection.fetch(_TERMINATE)

    with pytest.raises(DBAPIError):
        await lose_the_connection()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "a connection is closed: rolling back failed with InterfaceError")
    ]
    async with driver_transaction(pool) as connection:
        await connection.fetch_row(_TAKE_ID)
    await pool.dispose()
