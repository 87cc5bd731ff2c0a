"""Many writers and several sealers at once: entries are revisions, each once, versions in order."""

import asyncio
import json
import random
import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
from pydantic import SecretStr

from src.config import DatabaseSettings
from src.ledger.config import LedgerSettings
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body
from tests.conftest import driver_url
from tests.ledger.conftest import KEY, LEDGER, ORIGIN
from tests.ledger.following import client_of, events, read_changes, serve
from tests.ledger.revisions import check_ledger, entries, write

Changes = list[dict[str, Any]]
WRITERS, ROUNDS = 12, 12
# Who only reads does not take this lock.
KILL = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'ledger'::regclass AND mode = 'RowShareLock'"
IS_SIGNED = "SELECT EXISTS (SELECT FROM ledger_checkpoint JOIN ledger USING (size, root))"
CHANGES = ({"status": "failure"}, {"details": {"a": 1}}, None)


async def write_by_http(
    client: httpx2.AsyncClient, urls: list[str], chance: random.Random, allowed: Collection[int] = (200, 201, 404)
) -> None:
    """Records, batches, and changes of records that others change at the same time."""
    for _ in range(ROUNDS):
        if chance.random() < 0.3:
            answer = await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * chance.randint(1, 40)})
            urls += [f"{AUDITS}/{item['id']}" for item in answer.json().get("items", ())]
        elif len(urls) < 20 or chance.random() < 0.3:
            answer = await client.post(AUDITS, json=audit_body())
            urls += [answer.headers["Location"]] if answer.is_success else []
        else:
            change = chance.choice(CHANGES)
            url = chance.choice(urls[:20])
            answer = await (client.patch(url, json=change) if change else client.delete(url))
        assert answer.status_code in allowed, answer.text


async def write_by_sql(settings: DatabaseSettings, chance: random.Random) -> None:
    """Transactions that take their id early, use savepoints, and are rolled back every third time."""
    connection = await asyncpg.connect(driver_url(settings))
    records = []
    for number in range(ROUNDS):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT pg_current_xact_id()")
        await connection.execute("SELECT pg_sleep($1)", chance.random() / 20)
        async with connection.transaction():
            record = await write(connection)
        if number % 3:
            await transaction.commit()
            records.append(record)
        else:
            await transaction.rollback()
    for record in records:
        await write(connection, record, 2)
    await connection.close()


async def kill_sealers(settings: DatabaseSettings) -> None:
    """End the connections of sealers in the middle of what they do."""
    connection = await asyncpg.connect(driver_url(settings))
    with suppress(asyncio.CancelledError):
        while True:
            await connection.execute(KILL)
            await asyncio.sleep(0.05)
    await connection.close()


async def poll(client: httpx2.AsyncClient, seen: Changes, after: int = -1, wait: int = 0) -> None:
    while True:
        answer = await client.get(f"{LEDGER}/changes", params={"after": after, "limit": 50, "wait": wait})
        assert answer.status_code == 200, answer.text
        seen += answer.json()["items"]
        after = answer.json()["next_after"]
        if not answer.json()["items"]:
            await asyncio.sleep(0.02)


async def follow_stream(client: httpx2.AsyncClient, seen: Changes, chance: random.Random) -> None:
    """Break off after some events, and come again with the last id."""
    last = "-1"
    while True:
        async with client.stream("GET", f"{LEDGER}/changes/stream", headers={"Last-Event-ID": last}) as answer:
            blocks = events(answer)
            for _ in range(chance.randint(1, 60)):
                seen += await read_changes(blocks, 1)
                last = str(seen[-1]["index"])


async def export_and_poll(client: httpx2.AsyncClient, seen: Changes) -> None:
    """Take what is there at some time, and poll from there on."""
    while not (lines := (await client.get(f"{LEDGER}/changes/export")).text.splitlines()):
        pass
    seen += map(json.loads, lines)
    await poll(client, seen, after=seen[-1]["index"])


async def test_entries_are_the_revisions_of_many_writers(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)  # noqa: T201
    settings = LedgerSettings(ledger_interval=0.05, ledger_origin=ORIGIN, ledger_key=SecretStr(KEY.secret))
    # On a busy machine the last of many changes of one record waits longer than is usual.
    limits = {"database_lock_timeout": 20, "database_statement_timeout": 20, "database_command_timeout": 25}
    database = database_settings.model_copy(update=limits)
    urls: list[str] = []
    async with (
        run_application(database, settings) as client,
        run_application(database, settings) as other,
        serve(database, settings) as served,
        client_of(served) as streaming,
    ):
        killing = asyncio.create_task(kill_sealers(database_settings))
        seen: list[Changes] = [[], [], [], []]
        following = [
            asyncio.create_task(follow)
            for follow in (
                poll(client, seen[0]),
                poll(other, seen[1], wait=5),
                follow_stream(streaming, seen[2], random.Random(seed)),
                export_and_poll(other, seen[3]),
            )
        ]
        writers = [
            write_by_http((client, other)[number % 2], urls, random.Random(seed + number)) for number in range(WRITERS)
        ]
        await asyncio.gather(*writers, *(write_by_sql(database_settings, random.Random(seed)) for _ in range(4)))
        killing.cancel()
        await killing
        async with asyncio.timeout(20):
            while await check_ledger(connection) or not await connection.fetchval(IS_SIGNED):
                await connection.execute("SELECT pg_sleep(0.05)")
            size = await connection.fetchval("SELECT size FROM ledger")
            while not all(len(changes) >= size for changes in seen) and not any(task.done() for task in following):
                await connection.execute("SELECT pg_sleep(0.05)")
        for task in following:
            task.cancel()
        ended = await asyncio.gather(*following, return_exceptions=True)
        assert {type(each) for each in ended} == {asyncio.CancelledError}, ended
    assert [(UUID(change["audit_id"]), change["version"]) for change in seen[0]] == await entries(connection)
    for changes in seen[1:]:
        assert changes == seen[0]
