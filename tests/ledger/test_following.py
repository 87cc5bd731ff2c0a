"""Long polls and streams: who waits gets each change as it is sealed, and takes nobody's place meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from src.config import AppSettings, DatabaseSettings
from src.database import AutocommitConnection, create_pool
from src.ledger import stream
from src.ledger.config import LedgerSettings
from src.ledger.followers import Followers
from src.ledger.schemas import ChangesStreamQuery
from src.ledger.sealer import Sealer
from tests.application import Server, run_application, run_server
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.conftest import LEDGER
from tests.ledger.events import read_events

CHANGES, STREAM = f"{LEDGER}/changes", f"{LEDGER}/changes/stream"
OFTEN = LedgerSettings(ledger_interval=0.05)


@pytest.fixture
async def sealing(database_settings: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that seals all the time, and answers one request of each group at once."""
    async with run_application(database_settings, OFTEN, AppSettings(max_in_flight=1, place_timeout=5)) as client:
        yield client


async def test_a_follower_waits_for_the_next_change_that_matches(sealing: httpx2.AsyncClient) -> None:
    query = {"wait": "20", "action": "user.*", "after": "-1"}
    waiting = asyncio.create_task(sealing.get(CHANGES, params=query))
    await create_audit(sealing, action="invoice.update")
    await create_audit(sealing, action="user.login")
    page = (await waiting).json()
    assert [item["record"]["action"] for item in page["items"]] == ["user.login"]
    assert page["next_after"] == page["size"] - 1 == 1


async def test_all_who_wait_are_answered(sealing: httpx2.AsyncClient) -> None:
    waiting = [asyncio.create_task(sealing.get(CHANGES, params={"wait": 20})) for _ in range(50)]
    record = await create_audit(sealing)
    answers = [(await each).json()["items"] for each in waiting]
    assert [[item["audit_id"] for item in items] for items in answers] == [[record["id"]]] * 50


async def test_nothing_to_wait_for_is_an_empty_page_at_the_end(sealing: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(15):
        answer = await sealing.get(CHANGES, params={"wait": 1, "after": 7})
    assert answer.json() == {"items": [], "limit": 20, "next_after": 7, "size": 0}


async def test_who_waits_takes_no_place_of_others(sealing: httpx2.AsyncClient) -> None:
    waiting = asyncio.create_task(sealing.get(CHANGES, params={"wait": 20}))
    for _ in range(3):
        assert (await sealing.get(LEDGER)).status_code == 200
    assert not waiting.done()
    await create_audit(sealing)
    assert len((await waiting).json()["items"]) == 1


@pytest.mark.parametrize("query", ["wait=21", "wait=-1", "wait=x", "wait=1&order=desc"])
async def test_other_waits_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"{CHANGES}?{query}")).status_code == 422


@pytest.mark.parametrize("last", ["x", "-2", "9007199254740992", "1.5"])
async def test_other_ids_of_events_are_refused(client: httpx2.AsyncClient, last: str) -> None:
    refused = await client.get(STREAM, headers={"Last-Event-ID": last})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == ["header", "Last-Event-ID"]


async def test_a_stream_has_heartbeats_and_its_position_moves_on(
    database_settings: DatabaseSettings, client: httpx2.AsyncClient, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.01)
    pool = create_pool(database_settings)
    followers = Followers(pool, 0.01)
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 3})
    await sealer.seal_all()
    query = ChangesStreamQuery(action=["user.login"])
    chunks = await stream.open_stream(AutocommitConnection(pool), followers, query, None)
    assert [await anext(chunks) for _ in range(4)] == [b": \n\n", b"id: 2\n\n", b": \n\n", b": \n\n"]
    followers.stop()
    assert {chunk async for chunk in chunks} <= {b": \n\n"}
    await pool.dispose()


@pytest.fixture
async def server(database_settings: DatabaseSettings) -> AsyncIterator[Server]:
    url = database_settings.database_url.get_secret_value()
    async with run_server(url, LEDGER_INTERVAL="0.05") as server:
        yield server


async def test_a_stream_goes_on_where_it_broke_off_and_ends_with_the_server(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as client:
        await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 3})
        async with client.stream("GET", STREAM) as answer:
            assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
            assert answer.headers["x-accel-buffering"] == "no"
            assert answer.headers["cache-control"] == "no-store"
            events = await read_events(answer.aiter_lines(), 3)
        page = (await client.get(CHANGES)).json()
        assert [event["item"] for event in events] == page["items"]
        assert [(event["id"], event["event"]) for event in events] == [(n, "change") for n in range(3)]
        async with client.stream("GET", f"{STREAM}?after=0", headers={"Last-Event-ID": "1"}) as answer:
            lines = answer.aiter_lines()
            assert [event["id"] for event in await read_events(lines, 1)] == [2]
            await create_audit(client)
            assert [event["id"] for event in await read_events(lines, 1)] == [3]
            waiting = asyncio.create_task(client.get(CHANGES, params={"wait": 20, "after": 3}))
            # The server has begun to wait once it has answered what came after it.
            assert (await client.get(LEDGER)).status_code == 200
            async with asyncio.timeout(8):
                assert await server.stop() == 0
                assert (await waiting).json()["items"] == []
                assert [line async for line in lines if line and not line.startswith(":")] == []
    assert server.tracebacks() == ""
