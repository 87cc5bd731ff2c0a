"""During any database fault, answers are 503 in time or succeed, and live stays 200; afterwards everything works."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg
import httpx2
import pytest
from alembic import command

from scripts.postgres import Cluster
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.conftest import driver_url, migrate, settings_for
from tests.outages import frozen

Fault = Callable[[Cluster], AbstractAsyncContextManager[None]]
SECONDS = 4
LONGEST = 5
RECOVERY = 2
READY = 1.5


async def execute(cluster: Cluster, *statements: str) -> None:
    connection = await asyncpg.connect(driver_url(settings_for(cluster)))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'audit-trail'"


@asynccontextmanager
async def away(cluster: Cluster) -> AsyncIterator[None]:
    await asyncio.to_thread(cluster.stop, "immediate")
    try:
        yield
    finally:
        await asyncio.to_thread(cluster.start)


@asynccontextmanager
async def restarted(cluster: Cluster) -> AsyncIterator[None]:
    await asyncio.to_thread(cluster.stop, "fast")
    await asyncio.to_thread(cluster.start)
    yield


@asynccontextmanager
async def killed(cluster: Cluster) -> AsyncIterator[None]:
    postmaster = cluster.postmaster_pid()
    assert postmaster
    os.kill(postmaster, signal.SIGKILL)
    try:
        yield
    finally:
        await asyncio.to_thread(cluster.start)


@asynccontextmanager
async def read_only(cluster: Cluster) -> AsyncIterator[None]:
    await execute(cluster, "ALTER DATABASE app SET default_transaction_read_only = on", TERMINATE)
    try:
        yield
    finally:
        reset = "ALTER DATABASE app RESET default_transaction_read_only"
        await execute(cluster, "SET default_transaction_read_only = off", reset, TERMINATE)


@asynccontextmanager
async def out_of_connections(cluster: Cluster) -> AsyncIterator[None]:
    taken: list[asyncpg.Connection] = []
    with suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(driver_url(settings_for(cluster))))
            await taken[0].execute(TERMINATE)
    try:
        yield
    finally:
        await asyncio.gather(*(connection.close() for connection in taken))


def altered(column: str, to: str, back: str) -> Fault:
    @asynccontextmanager
    async def fault(cluster: Cluster) -> AsyncIterator[None]:
        await execute(cluster, f"ALTER TABLE audit ALTER COLUMN {column} TYPE {to}")
        try:
            yield
        finally:
            await execute(cluster, f"ALTER TABLE audit ALTER COLUMN {column} TYPE {back}")

    return fault


@pytest.fixture(scope="module")
async def durable_cluster(own_cluster: Cluster) -> Cluster:
    await asyncio.to_thread(own_cluster.start)
    await migrate(settings_for(own_cluster), command.upgrade, "head")
    return own_cluster


@pytest.mark.parametrize(
    ("fault", "is_ready"),
    [
        pytest.param(away, False, id="away"),
        pytest.param(killed, False, id="killed"),
        pytest.param(frozen, False, id="frozen"),
        pytest.param(restarted, True, id="restarted"),
        pytest.param(read_only, False, id="read-only"),
        pytest.param(out_of_connections, False, id="out of connections"),
        # The health check looks at the connection, not at the columns of each table.
        pytest.param(altered("actor_id", "varchar(300)", "text"), True, id="column altered"),
        pytest.param(altered("actor_id", "bytea USING actor_id::bytea", "text USING 'u'"), True, id="column unusable"),
        pytest.param(altered("correlation_id", "integer USING 1", "text"), True, id="column of another form"),
    ],
)
async def test_a_database_fault_is_503_in_time_and_the_service_recovers(
    fault: Fault, is_ready: bool, durable_cluster: Cluster
) -> None:
    url = durable_cluster.url()
    async with run_server(url) as server, httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
        record = await create_audit(client)
        await asyncio.gather(*(client.get(AUDITS) for _ in range(12)))
        seen: dict[str, float] = {}

        async def call(method: str, path: str, body: Any) -> int:
            started = time.monotonic()
            response = await client.request(method, path, json=body)
            name = f"{method} {path.replace(record['id'], 'id')}: {response.status_code}"
            seen[name] = max(seen.get(name, 0), time.monotonic() - started)
            if response.status_code == 503:
                assert int(response.headers["Retry-After"]) >= 1
                assert response.json()["code"].startswith("database-"), response.text
            if response.status_code == 500:
                await server.line("unforeseen exception")
            assert response.status_code in (200, 201, 503), server.tracebacks()
            return response.status_code

        one = f"{AUDITS}/{record['id']}"
        calls = [
            ("GET", AUDITS, None),
            ("GET", one, None),
            ("GET", f"{one}/history", None),
            ("GET", f"{AUDITS}/export?entity_id=none", None),
            ("POST", AUDITS, audit_body()),
            ("POST", f"{AUDITS}/batch", {"items": [audit_body()]}),
            ("PATCH", one, {"status": "failure"}),
            ("PUT", one, audit_body(occurred_at="2026-01-01T00:00:00Z")),
        ]

        async def all_of_them() -> set[int]:
            return set(await asyncio.gather(*(call(*each) for each in calls)))

        over = asyncio.Event()

        async def call_on() -> None:
            while not over.is_set():
                await all_of_them()
                assert (await client.get("/health/live")).status_code == 200

        # The fault begins while requests are running.
        calling = asyncio.create_task(call_on())
        async with fault(durable_cluster):
            await asyncio.wait([calling], timeout=SECONDS)
            started = time.monotonic()
            ready = await client.get("/health/ready")
            seen["GET /health/ready"] = time.monotonic() - started
            assert (ready.status_code == 200) is is_ready, ready.text
            assert seen["GET /health/ready"] < READY
            over.set()
            await calling
        ended = time.monotonic()
        while await all_of_them() - {200, 201}:
            assert time.monotonic() - ended < RECOVERY
        assert (await client.get("/health/ready")).status_code == 200
        print(
            f"\nrecovered in {time.monotonic() - ended:.2f} s; the longest of each:", *sorted(seen.items()), sep="\n  "
        )
        assert max(seen.values()) < LONGEST
        assert not [line for line in server.log() if line["level"] == "ERROR" and is_ready is False]
