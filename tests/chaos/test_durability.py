"""Acknowledged writes survive every crash of the database."""

import asyncio
import os
import signal
import time

import asyncpg
import httpx2

from scripts.postgres import Cluster
from src.config import DatabaseSettings
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body
from tests.conftest import driver_url, settings_for

WRITERS = 20


async def test_kill_9_of_the_database_loses_no_acknowledged_write(own_cluster: Cluster) -> None:
    await asyncio.to_thread(own_cluster.start)
    connection = await asyncpg.connect(driver_url(settings_for(own_cluster)))
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval("SELECT current_setting($1)", name) == "on"
    await connection.close()
    acknowledged: set[str] = set()
    others: set[tuple[int, str]] = set()
    stopped, written = asyncio.Event(), asyncio.Event()

    async with run_server(own_cluster.url()) as server, httpx2.AsyncClient(base_url=server.url, timeout=20) as client:

        async def write() -> None:
            while not stopped.is_set():
                response = await client.post(AUDITS, json=audit_body())
                if response.status_code == 201:
                    acknowledged.add(response.json()["id"])
                    written.set()
                else:
                    others.add((response.status_code, response.json()["code"]))
                    await asyncio.sleep(0.02)

        writers = [asyncio.create_task(write()) for _ in range(WRITERS)]
        recoveries = []
        for _ in range(5):
            await asyncio.sleep(2)
            postmaster = own_cluster.postmaster_pid()
            assert postmaster
            os.kill(postmaster, signal.SIGKILL)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_cluster.start)
            back = time.monotonic()
            written.clear()
            async with asyncio.timeout(10):
                await written.wait()
            recoveries.append(time.monotonic() - back)
        stopped.set()
        await asyncio.gather(*writers)
    connection = await asyncpg.connect(driver_url(settings_for(own_cluster)))
    stored = {str(row["id"]) for row in await connection.fetch("SELECT id FROM audit")}
    await connection.close()
    print(
        f"\n{len(acknowledged)} acknowledged, first success after {[f'{each:.2f} s' for each in recoveries]}; {others}"
    )
    assert acknowledged <= stored
    assert max(recoveries) < 2
    assert {status for status, _ in others} == {503}


async def test_100_increments_by_20_clients_are_100(database_settings: DatabaseSettings) -> None:
    async with (
        run_server(database_settings.database_url.get_secret_value()) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=20) as client,
    ):
        url = (await client.post(AUDITS, json=audit_body(details={"n": 0}))).headers["Location"]

        async def increment() -> None:
            while True:
                record = await client.get(url)
                changed = await client.patch(
                    url,
                    json={"details": {"n": record.json()["details"]["n"] + 1}},
                    headers={"If-Match": record.headers["ETag"]},
                )
                assert changed.status_code in (200, 412)
                if changed.status_code == 200:
                    return

        async def increment_five_times() -> None:
            for _ in range(5):
                await increment()

        await asyncio.gather(*(increment_five_times() for _ in range(20)))
        record = (await client.get(url)).json()
        assert (record["details"]["n"], record["version"]) == (100, 101)


async def test_100_races_of_changes_and_deletions_have_no_5xx_and_complete_histories(
    database_settings: DatabaseSettings,
) -> None:
    async with (
        run_server(database_settings.database_url.get_secret_value()) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=20) as client,
    ):
        for _ in range(100):
            url = (await client.post(AUDITS, json=audit_body())).headers["Location"]
            patch, put, delete = await asyncio.gather(
                client.patch(url, json={"status": "failure"}),
                client.put(url, json=audit_body(occurred_at="2026-01-01T00:00:00Z")),
                client.delete(url),
            )
            assert {patch.status_code, put.status_code} <= {200, 404}
            assert delete.status_code == 200
            history = (await client.get(f"{url}/history")).json()["items"]
            changes = (patch.status_code, put.status_code).count(200)
            assert [revision["version"] for revision in history] == list(range(changes + 2, 0, -1))
            assert history[0]["operation"] == "delete"
