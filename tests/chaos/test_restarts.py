"""Workers are replaced, on request or after a crash, without effects on other requests."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from src.config import DatabaseSettings
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body
from tests.chaos.load import FAILED, Orders, Running, load
from tests.outages import children

CONNECTIONS = 8
ORDERS = Orders(
    requests=[
        ("GET", "/health/live", None),
        ("POST", AUDITS, audit_body()),
        ("GET", f"{AUDITS}?count=none&limit=5", None),
    ],
    connections=CONNECTIONS,
    seconds=120,
)


def workers(server: Server) -> set[int]:
    """Return the process ids of the workers. Another child process is Python's resource tracker."""
    found = children(server.process.pid)
    return {pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


@asynccontextmanager
async def two_workers_under_load(settings: DatabaseSettings) -> AsyncIterator[tuple[Server, Running]]:
    async with (
        run_server(settings.database_url.get_secret_value(), WORKERS="2", LOG_LEVEL="INFO") as server,
        load(server.url, ORDERS) as running,
    ):
        await server.line('"path":"/health/live"')
        yield server, running


async def roll(server: Server) -> None:
    """Replace all workers, and wait until it is done."""
    first = workers(server)
    server.process.send_signal(signal.SIGHUP)
    for pid in first:
        # The workers start one after the other under load: each takes some seconds on a busy machine.
        await server.line(rf"Finished server process \[{pid}\]", seconds=60)
    assert workers(server).isdisjoint(first)


async def test_three_rolling_restarts_under_load_fail_no_request(database_settings: DatabaseSettings) -> None:
    async with two_workers_under_load(database_settings) as (server, running):
        for _ in range(3):
            await roll(server)
        found = await running.stop()
        print(f"\nthree rolling restarts: {found.summary()}")
        assert found.latencies.keys() == {200, 201}
        assert found.count(200) + found.count(201) >= 5_000
        assert await server.stop() == 0


async def test_a_crashed_worker_is_replaced_while_the_other_serves(database_settings: DatabaseSettings) -> None:
    async with two_workers_under_load(database_settings) as (server, running):
        for crashed in workers(server):
            os.kill(crashed, signal.SIGKILL)
            await server.line(rf"Child process \[{crashed}\] died")
            for pid in workers(server):
                await server.line(rf"Started server process \[{pid}\]")
        found = await running.stop()
        print(f"\nboth workers killed, one after the other: {found.summary()}")
        # Only requests in flight may fail: at most one on each connection and worker.
        assert found.count(FAILED) <= 2 * CONNECTIONS
        assert found.latencies.keys() <= {FAILED, 200, 201}
        assert len(workers(server)) == 2


async def test_workers_stop_when_their_parent_is_killed(database_settings: DatabaseSettings) -> None:
    async with run_server(database_settings.database_url.get_secret_value(), WORKERS="2") as server:
        server.process.kill()
        # The output ends when the workers, which hold it too, have ended.
        async with asyncio.timeout(10):
            await server.ended()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            try:
                raise AssertionError(await client.get("/health/live"))
            except httpx2.ConnectError:
                pass
