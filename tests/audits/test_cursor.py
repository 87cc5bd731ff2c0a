"""Pages by cursor, and the links to other pages."""

import asyncio
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import asyncpg
import httpx2
import pytest

from src import pagination
from src.audits.schemas import AuditFilter, AuditQuery
from tests.audits.factories import AUDITS, create_audit
from tests.audits.test_list import INSERT_MANY


async def walk(client: httpx2.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every item of all pages, found by following the link `next`."""
    items: list[dict[str, Any]] = []
    response = await client.get(path, params=query)
    while True:
        assert response.status_code == 200, response.text
        page = response.json()
        items += page["items"]
        link = re.search(r'<([^>]+)>; rel="next"', response.headers["Link"])
        assert (link is None) == (page["next_cursor"] is None)
        if link is None:
            return items
        response = await client.get(link[1])
        assert response.json()["offset"] is None


@pytest.mark.parametrize("order", ["desc", "asc"])
async def test_cursors_lead_to_every_record_once_even_with_equal_times(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, order: str
) -> None:
    await connection.execute(INSERT_MANY, 60)
    await connection.execute("UPDATE audit SET occurred_at = '2026-01-01Z' WHERE entity_id::int % 3 > 0")
    records = await walk(client, AUDITS, limit=7, order=order)
    keys = [(record["occurred_at"], record["id"]) for record in records]
    assert len(keys) == 60
    assert keys == sorted(set(keys), reverse=order == "desc")


async def test_cursors_skip_and_repeat_nothing_while_records_are_created_and_removed(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, 100)
    stays = {row["id"] for row in await connection.fetch("SELECT id::text FROM audit WHERE entity_id::int % 2 = 0")}
    reached = asyncio.Event()

    async def disturb() -> None:
        for number in range(1, 100, 2):
            await connection.execute("DELETE FROM audit WHERE entity_id = $1", str(number))
            await create_audit(client, entity_id=f"new {number}", occurred_at="2026-01-01T00:00:50Z")
        reached.set()

    disturbing = asyncio.create_task(disturb())
    records = await walk(client, AUDITS, limit=3)
    await disturbing
    ids = [record["id"] for record in records]
    assert len(ids) == len(set(ids))
    assert stays <= set(ids)
    assert reached.is_set()


async def test_filters_stay_in_force_from_page_to_page(client: httpx2.AsyncClient) -> None:
    for number in range(6):
        status = "failure" if number % 2 else "success"
        await create_audit(client, entity_id=str(number), status=status, details={"a": [1, {"b": "&"}]})
    await create_audit(client, status="failure")
    details = '{"a": [{"b": "&"}]}'
    records = await walk(client, AUDITS, limit=1, status=["failure", "pending"], details=details, action="invoice.*")
    assert [record["entity_id"] for record in records] == ["5", "3", "1"]


async def test_limit_and_count_may_change_between_pages(client: httpx2.AsyncClient) -> None:
    for _ in range(4):
        await create_audit(client)
    cursor = (await client.get(AUDITS, params={"limit": 1})).json()["next_cursor"]
    page = (await client.get(AUDITS, params={"limit": 50, "count": "none", "cursor": cursor})).json()
    assert (len(page["items"]), page["total"], page["next_cursor"]) == (3, None, None)


async def test_the_total_counts_all_matches_on_every_page(client: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await create_audit(client)
    cursor = (await client.get(AUDITS, params={"limit": 2})).json()["next_cursor"]
    assert (await client.get(AUDITS, params={"cursor": cursor})).json()["total"] == 3


CHANGED_FILTERS: list[dict[str, Any]] = [
    {"order": "asc"}, {"action": "invoice.*"}, {"status": ["success", "failure"]}, {"entity_id": "INV-1"},
    {"entity_id": ["INV-1", "INV-2"]}, {"actor_id": ["u-1", "u-2"]}, {"entity_type": ["invoice", "a"]},
    {"actor_type": "user"}, {"correlation_id": "req-1"}, {"source": "a"}, {"event_id": "1"}, {"details": '{"a": 1}'},
    {"occurred_from": "2020-01-01T00:00:00Z"}, {"occurred_to": "2100-01-01T00:00:00Z"},
]  # fmt: skip


def test_every_filter_is_among_those_that_are_changed() -> None:
    assert {name for change in CHANGED_FILTERS for name in change} == {*AuditFilter.model_fields, "order"}


@pytest.mark.parametrize("change", CHANGED_FILTERS)
async def test_a_cursor_with_other_filters_gets_422(
    client_of_module: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    for _ in range(2):
        await create_audit(client_of_module)
    cursor = (await client_of_module.get(AUDITS, params={"limit": 1})).json()["next_cursor"]
    response = await client_of_module.get(AUDITS, params={"cursor": cursor} | change)
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "cursor"])


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "W10", "e30", "bnVsbA", "WyIiLDEsMl0", "MQ", "A" * 600, "%00", "WyJhIiwiYiIsImMiXQ=="]
)
async def test_a_malformed_cursor_gets_422(client_of_module: httpx2.AsyncClient, cursor: str) -> None:
    history = f"{AUDITS}/{(await create_audit(client_of_module))['id']}/history"
    for path in (AUDITS, history):
        response = await client_of_module.get(path, params={"cursor": cursor})
        assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "cursor"])


def forge(bound_to: str, *position: object) -> str:
    """A cursor with the correct fingerprint, which is no secret."""
    fingerprint = json.loads(urlsafe_b64decode(f"{pagination.encode_cursor([], bound_to)}=="))[0]
    return urlsafe_b64encode(json.dumps([fingerprint, *position]).encode()).decode().rstrip("=")


@pytest.mark.parametrize("version", [float("inf"), float("nan"), 1.5, True, "1", -1, 0, 2**31, 10**400, None, [1]])
async def test_a_forged_cursor_of_a_history_gets_422(client_of_module: httpx2.AsyncClient, version: object) -> None:
    audit_id = (await create_audit(client_of_module))["id"]
    response = await client_of_module.get(f"{AUDITS}/{audit_id}/history", params={"cursor": forge(audit_id, version)})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "cursor"])


@pytest.mark.parametrize(
    "occurred_at", ["2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", 1, None, float("inf")]
)
async def test_a_forged_cursor_of_a_list_gets_422(client_of_module: httpx2.AsyncClient, occurred_at: object) -> None:
    bound_to = AuditQuery().model_dump_json(include={*AuditFilter.model_fields, "order"})
    cursor = forge(bound_to, occurred_at, "01a202e4-1742-76d7-9e81-3d827693f0c3")
    response = await client_of_module.get(AUDITS, params={"cursor": cursor})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["query", "cursor"])


async def test_a_cursor_with_a_positive_offset_gets_422(client_of_module: httpx2.AsyncClient) -> None:
    for _ in range(2):
        await create_audit(client_of_module)
    cursor = (await client_of_module.get(AUDITS, params={"limit": 1})).json()["next_cursor"]
    response = await client_of_module.get(AUDITS, params={"cursor": cursor, "offset": 1})
    assert (response.status_code, response.json()["code"]) == (422, "validation-error")


async def test_a_client_that_sends_every_default_can_follow_cursors(client: httpx2.AsyncClient) -> None:
    records = [await create_audit(client) for _ in range(5)]
    record = f"{AUDITS}/{records[0]['id']}"
    for _ in range(4):
        await client.patch(record, json={"status": "failure"})
    for path in (AUDITS, f"{record}/history"):
        pages: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 2, "offset": 0}
        while query.get("cursor", "") is not None:
            response = await client.get(path, params=query)
            assert response.status_code == 200, response.text
            assert "offset" not in response.headers["Link"]
            pages.append(response.json())
            query["cursor"] = pages[-1]["next_cursor"]
        assert [len(page["items"]) for page in pages] == [2, 2, 1]
        assert [page["offset"] for page in pages] == [0, None, None]


async def test_links_lead_to_the_first_the_previous_and_the_next_page(client: httpx2.AsyncClient) -> None:
    for number in range(5):
        await create_audit(client, entity_id=str(number))
    response = await client.get(AUDITS, params={"limit": 2, "offset": 2, "action": ["invoice.*", "b"]})
    links = {name: target for target, name in re.findall(r'<([^>]+)>; rel="(\w+)"', response.headers["Link"])}
    assert links.keys() == {"first", "prev", "next"}
    for name, expected in (("first", ["4", "3"]), ("prev", ["4", "3"]), ("next", ["0"])):
        page = (await client.get(links[name])).json()
        assert [record["entity_id"] for record in page["items"]] == expected


async def test_long_links_are_the_next_one_only_and_the_first_one_at_the_end(client: httpx2.AsyncClient) -> None:
    for number in range(2):
        await create_audit(client, entity_id=str(number))
    asked: dict[str, Any] = {"entity_id": ["0", "1", "x" * 1_000], "limit": 1, "offset": 0}
    assert re.findall(r'rel="(\w+)"', (await client.get(AUDITS, params=asked)).headers["Link"]) == ["first", "next"]
    asked["entity_id"].append("y" * 1_000)
    page = await client.get(AUDITS, params=asked)
    links = dict(re.findall(r'<([^>]+)>; rel="(\w+)"', page.headers["Link"]))
    assert [*links.values()] == ["next"]
    last = await client.get(*links)
    assert [record["entity_id"] for record in last.json()["items"]] == ["0"]
    assert re.findall(r'rel="(\w+)"', last.headers["Link"]) == ["first"]
