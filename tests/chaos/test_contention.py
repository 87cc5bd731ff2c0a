"""Requests for a locked row, or without a free connection, are 503 within 2.5 s; other requests are not delayed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest

from src.config import DatabaseSettings
from tests.ai.fake_provider import Reply, run_provider
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.chaos.load import Orders, load

LONGEST = 2.5


@asynccontextmanager
async def live_is_quick(server: Server) -> AsyncIterator[None]:
    """Ask for /health/live all the time, and check at the end that every answer was quick."""
    done, longest = asyncio.Event(), 0.0

    async def ask() -> None:
        nonlocal longest
        async with httpx2.AsyncClient(base_url=server.url) as client:
            while not done.is_set():
                started = time.monotonic()
                assert (await client.get("/health/live")).status_code == 200
                longest = max(longest, time.monotonic() - started)
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    yield
    done.set()
    await asking
    print(f"\nlive answered within {longest * 1000:.0f} ms")
    assert longest < 0.1


@pytest.mark.parametrize("callers", [1, 60])
async def test_a_locked_row_and_an_exhausted_pool_are_503_in_time(
    callers: int, database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    async with (
        run_server(database_settings.database_url.get_secret_value()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        url = f"{AUDITS}/{(await create_audit(client))['id']}"
        async with connection.transaction():
            await connection.execute("SELECT FROM audit FOR UPDATE")
            orders = Orders([("PATCH", url, {"status": "failure"})], callers, seconds=5)
            await refused_in_time(server, orders)
        assert (await client.patch(url, json={"status": "failure"})).status_code == 200


async def refused_in_time(server: Server, orders: Orders) -> None:
    async with live_is_quick(server), load(server.url, orders) as running:
        found = await running.report()
    print(f"\n{orders.connections} callers: {found.summary()}")
    assert found.latencies.keys() == {503}
    assert max(found.latencies[503]) < LONGEST * 1000


@pytest.mark.parametrize("callers", [15, 60])
async def test_a_query_that_is_too_slow_is_503_in_time(
    callers: int, database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("""
        CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(10); RETURN NEW; END $$;
        CREATE TRIGGER sleep BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION sleep();
    """)
    async with (
        run_server(database_settings.database_url.get_secret_value()) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await refused_in_time(server, Orders([("POST", AUDITS, audit_body())], callers, seconds=5))
        assert (await client.get(AUDITS)).json()["total"] == 0


async def test_calls_of_ai_hold_no_database_connection_and_delay_no_other_requests(
    database_settings: DatabaseSettings,
) -> None:
    async with run_provider() as provider:
        provider.replies(Reply(hangs=True))
        async with (
            run_server(
                database_settings.database_url.get_secret_value(),
                OPENAI_API_KEY="sk-test",
                OPENAI_BASE_URL=provider.url,
                DATABASE_POOL_SIZE="2",
                DATABASE_MAX_OVERFLOW="0",
            ) as server,
            load(server.url, Orders([("POST", "/api/v1/ai/responses", {"input": "Say it."})], 150, 10)) as asking,
        ):
            await provider.wait_for_requests(20)
            record = ("POST", AUDITS, audit_body())
            async with load(server.url, Orders([record, ("GET", AUDITS, None)], 8, 5)) as recording:
                others = await recording.report()
            found = await asking.report()
        print(f"\n150 ask AI: {found.summary()}\nmeanwhile 8 others, with 2 connections: {others.summary()}")
        assert found.latencies.keys() <= {503, 504}
        assert others.latencies.keys() == {200, 201}
