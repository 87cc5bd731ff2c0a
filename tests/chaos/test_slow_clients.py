"""Clients that never finish sending are disconnected in time, and do not delay others."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from src.config import DatabaseSettings
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body
from tests.chaos.load import Orders, load
from tests.wire import Connection, connect, head

JSON = "Content-Type: application/json"


async def trickle(connection: Connection, beginning: bytes, drop: bytes) -> float:
    """Send slowly, and return the seconds until the server closed the connection."""
    started = time.monotonic()
    await connection.send(beginning)
    ended = asyncio.create_task(connection.rest())
    while not ended.done():
        await connection.send(drop)
        await asyncio.wait([ended], timeout=1)
    return time.monotonic() - started


async def test_slow_heads_and_bodies_are_closed_within_15_seconds_and_delay_no_other_requests(
    database_settings: DatabaseSettings,
) -> None:
    slow = [
        (head("GET", "/health/live")[:-2], b"a: b\r\n"),
        (head("POST", AUDITS, JSON, "Content-Length: 100000"), b"["),
        (head("POST", AUDITS, JSON, "Transfer-Encoding: chunked"), b"1\r\n[\r\n"),
        (b"", b""),
    ]
    async with (
        run_server(database_settings.database_url.get_secret_value()) as server,
        AsyncExitStack() as stack,
    ):
        connections = [await stack.enter_async_context(connect(server.url)) for _ in range(400)]
        trickles = [
            asyncio.create_task(trickle(connection, *slow[number % 4])) for number, connection in enumerate(connections)
        ]
        orders = Orders(
            [("GET", f"{AUDITS}?count=none", None), ("POST", AUDITS, audit_body())], connections=2, seconds=12
        )
        async with load(server.url, orders) as running:
            seconds = await asyncio.gather(*trickles)
            other = await running.report()
        print(f"\nslow clients: gone after {max(seconds):.1f} s; meanwhile another: {other.summary()}")
        assert max(seconds) < 15
        assert other.latencies.keys() == {200, 201}
        assert max(other.percentile(status, 0.99) for status in (200, 201)) < 200
        assert not [line for line in server.log() if line["level"] == "ERROR"]
        assert await server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_with_incomplete_bodies_is_in_time_and_logs_no_errors(
    database_settings: DatabaseSettings, workers: str
) -> None:
    async with (
        run_server(database_settings.database_url.get_secret_value(), WORKERS=workers) as server,
        AsyncExitStack() as stack,
    ):
        connections = [await stack.enter_async_context(connect(server.url)) for _ in range(150)]
        for connection in connections:
            await connection.send(head("POST", AUDITS, JSON, "Content-Length: 100000") + b"[")
        await asyncio.sleep(0.5)
        started = time.monotonic()
        trickles = [asyncio.create_task(trickle(connection, b"", b"[")) for connection in connections]
        assert await server.stop() == 0
        print(f"\nstop with 150 half-sent bodies, {workers} workers: {time.monotonic() - started:.1f} s")
        assert time.monotonic() - started < 15
        await asyncio.gather(*trickles)
        assert not [line for line in server.log() if line["level"] == "ERROR"]
