"""Whoever waits for the ledger gets each change at once, and keeps nobody else from the service."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from src.access_log import AccessLog
from src.config import DatabaseSettings
from src.ledger import changes, stream
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.following import CHANGES, LIMITS, STREAM, Served, client_of, events, read_changes, serve


@pytest.fixture(scope="module")
async def served(database_of_module: DatabaseSettings) -> AsyncIterator[Served]:
    async with serve(database_of_module, **LIMITS) as served:
        yield served


@pytest.fixture
async def follower(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(served) as client, asyncio.timeout(30):
        yield client


async def read(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get(CHANGES, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def latest(client: httpx2.AsyncClient) -> int:
    """The index of the last change, when all are sealed."""
    record = await create_audit(client)
    page: dict[str, Any] = {"next_after": -1}
    while True:
        page = await read(client, after=page["next_after"], wait=20)
        if record["id"] in [item["audit_id"] for item in page["items"]]:
            return int(page["next_after"])


async def test_a_page_that_waits_comes_when_something_is_recorded(follower: httpx2.AsyncClient) -> None:
    after = await latest(follower)
    waiting = asyncio.create_task(read(follower, after=after, wait=20))
    await asyncio.sleep(0)
    record = await create_audit(follower)
    page = await waiting
    assert [item["audit_id"] for item in page["items"]] == [record["id"]]
    assert (page["next_after"], page["size"]) == (after + 1, after + 2)
    assert page == await read(follower, after=after) == await read(follower, after=after, wait=20)


async def test_a_page_that_waits_in_vain_is_the_ordinary_one(follower: httpx2.AsyncClient) -> None:
    after, started = await latest(follower), time.monotonic()
    # Longer than REQUEST_TIMEOUT.
    page = await read(follower, after=after, wait=1.1)
    assert time.monotonic() - started >= 1.1
    assert (
        page == await read(follower, after=after) == {"items": [], "limit": 20, "next_after": after, "size": after + 1}
    )


async def test_whoever_waits_takes_no_place_of_others(follower: httpx2.AsyncClient) -> None:
    after = await latest(follower)
    waiting = [asyncio.create_task(read(follower, after=after, wait=20)) for _ in range(3)]
    async with follower.stream("GET", STREAM, params={"after": after}) as answer:
        assert answer.status_code == 200
        assert (await follower.get(CHANGES)).status_code == 200
        await create_audit(follower)
        assert [change["index"] for change in await read_changes(events(answer), 1)] == [after + 1]
    assert [page["next_after"] for page in await asyncio.gather(*waiting)] == [after + 1] * 3


async def test_more_can_wait_than_the_service_answers_at_once(follower: httpx2.AsyncClient) -> None:
    after = await latest(follower)
    number = LIMITS["max_in_flight"] + LIMITS["max_waiting"] + 60
    waiting = [asyncio.create_task(read(follower, after=after, wait=20)) for _ in range(number)]
    await create_audit(follower)
    assert {page["next_after"] for page in await asyncio.gather(*waiting)} == {after + 1}


async def test_a_filter_that_nothing_matches_looks_at_each_change_once(
    follower: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, begins = await latest(follower), list[int]()
    original = changes.read

    async def noting(connection: Any, wanted: Any, begin: int, size: int, limit: int) -> Any:
        if wanted.entity_id == ["INV-2"]:
            begins.append(begin)
        return await original(connection, wanted, begin, size, limit)

    monkeypatch.setattr(changes, "read", noting)
    waiting = asyncio.create_task(read(follower, after=after, wait=20, entity_id="INV-2"))
    for _ in range(3):
        await latest(follower)
    await create_audit(follower, entity_id="INV-2")
    page = await waiting
    assert [item["index"] for item in page["items"]] == [after + 4] == [page["next_after"]]
    assert len(begins) > 1
    assert begins == sorted({*begins})


async def test_whoever_leaves_no_longer_waits(
    follower: httpx2.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = await latest(follower)
    lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    monkeypatch.setattr(AccessLog, "write", lambda _, line: lines.put_nowait(line))
    for path in (f"{CHANGES}?after={after}&wait=20", f"{STREAM}?after={after}"):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        line = await lines.get()
        assert line["route"] == path.partition("?")[0]
        assert line["duration_ms"] < 10_000


@pytest.mark.parametrize("query", ["wait=-1", "wait=21", "wait=nan", "wait=x", "wait=", "wait=1&order=desc"])
async def test_other_times_are_refused(follower: httpx2.AsyncClient, query: str) -> None:
    assert (await follower.get(f"{CHANGES}?{query}")).status_code == 422


async def test_a_stream_goes_on_where_it_was_left(follower: httpx2.AsyncClient) -> None:
    after = await latest(follower)
    await follower.post(f"{AUDITS}/batch", json={"items": [audit_body(details={"a": "\u0085\u2028\r\n"})] * 60})
    async with follower.stream("GET", STREAM, params={"after": after}, headers={"Last-Event-ID": ""}) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
        found = await read_changes(events(answer), 55)
    headers = {"Last-Event-ID": str(found[-1]["index"]), "Origin": "https://app.example"}
    async with follower.stream("GET", STREAM, params={"after": -1}, headers=headers) as answer:
        assert answer.headers["access-control-allow-origin"] == "*"
        blocks = events(answer)
        found += await read_changes(blocks, 5)
        url = f"{AUDITS}/{found[0]['audit_id']}"
        assert (await follower.delete(url)).status_code == 200
        found += await read_changes(blocks, 1)
    assert [change["index"] for change in found] == [*range(after + 1, after + 62)]
    exported = (await follower.get(f"{CHANGES}/export", params={"after": after})).text.splitlines()
    assert found == [httpx2.Response(200, text=line).json() for line in exported]


async def test_an_idle_stream_shows_that_it_lives_and_how_far_it_has_looked(
    follower: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.1)
    after = await latest(follower)
    async with follower.stream("GET", STREAM, params={"after": after, "entity_id": "INV-3"}) as answer:
        blocks = events(answer)
        first, second = await anext(blocks), await anext(blocks)
        assert (first.comment, second.comment) == ("changes", "heartbeat")
        assert (second.id, second.name, second.data) == (None, None, None)
        last = await latest(follower)
        for _ in range(100):
            block = await anext(blocks)
            assert (block.comment, block.data) == ("heartbeat", None)
            if block.id is not None:
                break
        assert block.id == last
        record = await create_audit(follower, entity_id="INV-3")
        (change,) = await read_changes(blocks, 1)
        assert (change["audit_id"], change["index"]) == (record["id"], last + 1)


@pytest.mark.parametrize("value", ["x", "-2", "1.5", "9007199254740992"])
async def test_other_ids_of_events_are_refused(follower: httpx2.AsyncClient, value: str) -> None:
    answer = await follower.get(STREAM, headers={"Last-Event-ID": value})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["header", "Last-Event-ID"])


async def test_a_stop_of_the_server_ends_all_waiting(database: DatabaseSettings) -> None:
    async with asyncio.timeout(30), serve(database) as served, client_of(served) as client:
        after = await latest(client)
        waiting = asyncio.create_task(read(client, after=after, wait=20))
        async with client.stream("GET", STREAM, params={"after": after}) as answer:
            blocks = events(answer)
            assert (await anext(blocks)).comment == "changes"
            started = time.monotonic()
            served.server.should_exit = True
            assert [block.comment async for block in blocks] == ["heartbeat"]
        assert (await waiting)["next_after"] == after
        await served.serving
        assert time.monotonic() - started < 5
