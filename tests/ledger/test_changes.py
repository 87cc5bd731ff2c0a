"""Whoever follows the ledger sees every change once, of removed records too."""

import asyncio
import json
from typing import Any

import asyncpg
import httpx2
import pytest

from src.ledger import feed
from src.ledger.sealer import Sealer
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.conftest import LEDGER

CHANGES = f"{LEDGER}/changes"
MANY = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    SELECT gen_random_uuid(), 1, 'create', now(), '{"action": "a"}', '', sha256(n::text::bytea)
    FROM generate_series(1, $1) AS n
"""

# What a standby holds that takes over and had only the first three entries.
LAG_BEHIND = """
    ALTER TABLE ledger DISABLE TRIGGER USER; ALTER TABLE ledger_entry DISABLE TRIGGER USER;
    DELETE FROM ledger_entry WHERE index >= 3; UPDATE ledger SET size = 3;
"""

# As a release wrote them that did not record events.
FROM_BEFORE = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    SELECT audit_id, 2, 'update', changed_at, record - 'source' - 'event_id', '', sha256('') FROM audit_revision
"""


async def read(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get(CHANGES, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_a_change_is_shown_as_history_shows_it(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    details = {"n": 1e300, "text": "Grüße 😀\u2028", "small": 1e-7}
    record = await create_audit(client, details=details, source="https://billing.example.com", event_id="evt 1")
    url = f"{AUDITS}/{record['id']}"
    await client.patch(url, json={"status": "failure"}, headers={"X-Actor-Id": "u-4", "X-Change-Reason": "wrong"})
    await client.delete(url)
    assert await read(client) == {"items": [], "limit": 20, "next_after": -1, "size": 0}
    await sealer.seal_all()
    page = await read(client)
    history = (await client.get(f"{url}/history")).json()["items"][::-1]
    for each in history:
        del each["previous_hash"]
    assert page["items"] == [{"index": n, "audit_id": record["id"]} | each for n, each in enumerate(history)]
    assert {item["record"]["event_id"] for item in page["items"]} == {"evt 1"}
    exported = (await client.get(f"{CHANGES}/export")).text.splitlines()
    assert [json.loads(line) for line in exported] == page["items"]
    assert (page["next_after"], page["size"]) == (2, 3)
    assert not {"salt", "previous_hash"} & page["items"][0].keys()


async def test_a_record_from_before_events_has_the_members_that_history_shows(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    record = await create_audit(client)
    await connection.execute(FROM_BEFORE)
    await sealer.seal_all()
    items = (await read(client))["items"]
    history = (await client.get(f"{AUDITS}/{record['id']}/history")).json()["items"][::-1]
    assert [item["record"] for item in items] == [each["record"] for each in history]
    assert ["source" in item["record"] for item in items] == [True, False]


async def test_pages_lead_to_the_end_and_go_on_from_there(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 7})
    await sealer.seal_all()
    for _ in range(2):
        after, indexes = -1, list[int]()
        while (page := await read(client, after=after, limit=3))["items"]:
            indexes += [item["index"] for item in page["items"]]
            after = page["next_after"]
        assert indexes == [*range(page["size"])]
        assert after == page["next_after"] == page["size"] - 1
        await create_audit(client)
        await sealer.seal_all()
        assert [item["index"] for item in (await read(client, after=after))["items"]] == [page["size"]]
    assert (await read(client, after=1_000))["next_after"] == 1_000


async def test_the_latest_come_first_if_asked_for(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 5})
    await sealer.seal_all()
    page = await read(client, order="desc", limit=3)
    assert [item["index"] for item in page["items"]] == [4, 3, 2]
    page = await read(client, order="desc", limit=3, after=page["next_after"])
    assert ([item["index"] for item in page["items"]], page["next_after"]) == ([1, 0], 0)
    assert (await read(client, order="desc", after=0))["items"] == []


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ({"operation": "delete"}, [4]),
        ({"operation": ["delete", "update"]}, [3, 4]),
        ({"action": "invoice.*"}, [0, 3, 4]),
        ({"action": ["user.login", "user.logout"]}, [1, 2]),
        ({"entity_type": "use*"}, [1, 2]),
        ({"entity_type": "user"}, [1, 2]),
        ({"entity_id": "u-2"}, [2]),
        ({"entity_id": ["u-1", "u-2"]}, [1, 2]),
        ({"entity_type": ["user", "inv*"], "actor_id": ["nobody", "u-1"]}, [0, 1, 2, 3, 4]),
        ({"actor_id": "nobody"}, []),
        ({"changed_by": "u-4"}, [3]),
        ({"changed_from": "2020-01-01T00:00:00Z", "operation": "update", "after": 2}, [3]),
        ({"changed_to": "2020-01-01T00:00:00Z"}, []),
    ],
)
async def test_filters_select_changes(
    client: httpx2.AsyncClient, sealer: Sealer, query: dict[str, Any], indexes: list[int]
) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    for action, entity_id in (("user.login", "u-1"), ("user.logout", "u-2")):
        await sealer.seal_all()
        await create_audit(client, action=action, entity_type="user", entity_id=entity_id)
    await sealer.seal_all()
    await client.patch(url, json={"status": "failure"}, headers={"X-Actor-Id": "u-4"})
    await sealer.seal_all()
    await client.delete(url)
    await sealer.seal_all()
    page = await read(client, **query)
    assert ([item["index"] for item in page["items"]], page["next_after"]) == (indexes, 4)
    exported = (await client.get(f"{CHANGES}/export", params=query)).text.splitlines()
    assert [json.loads(line) for line in exported] == page["items"]


async def test_a_page_without_matches_says_how_far_it_looked(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await connection.execute(MANY, feed.LOOKED_AT + 5)
    await sealer.seal_all()
    await create_audit(client)
    await sealer.seal_all()
    page = await read(client, action="invoice.update")
    assert (page["items"], page["next_after"]) == ([], feed.LOOKED_AT - 1)
    page = await read(client, action="invoice.update", after=page["next_after"])
    last = feed.LOOKED_AT + 5
    assert ([item["index"] for item in page["items"]], page["next_after"]) == ([last], last)


async def test_an_export_is_lines_that_every_reader_finds(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body(details={"a": "\u0085\u2028\u2029"})] * 400})
    await sealer.seal_all()
    answer = await client.get(f"{CHANGES}/export", params={"after": 99})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.text.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [*range(100, 400)]
    assert json.loads(lines[0])["record"]["details"] == {"a": "\u0085\u2028\u2029"}


@pytest.mark.parametrize(
    "query",
    ["after=-2", "after=x", "limit=51", "limit=0", "operation=x", "order=up", "a=1"],
)
async def test_other_queries_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"{CHANGES}?{query}")).status_code == 422


async def test_any_index_that_json_carries_is_behind_the_end(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    await create_audit(client)
    await sealer.seal_all()
    last = 2**53 - 1
    assert await read(client, after=last) == {"items": [], "limit": 20, "next_after": last, "size": 1}
    assert (await client.get(f"{CHANGES}/export", params={"after": last})).content == b""
    refused = await client.get(CHANGES, params={"after": last + 1})
    assert refused.status_code == 422


async def test_minus_one_is_the_start_in_either_order(client: httpx2.AsyncClient, sealer: Sealer) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 3})
    await sealer.seal_all()
    assert [item["index"] for item in (await read(client, after=-1, order="desc"))["items"]] == [2, 1, 0]
    assert [item["index"] for item in (await read(client, after=-1))["items"]] == [0, 1, 2]


async def test_a_nul_is_refused_as_part_of_the_query(client: httpx2.AsyncClient) -> None:
    refused = await client.get(CHANGES, params={"changed_by": "a\0"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == ["query", "changed_by"]


@pytest.mark.usefixtures("database_settings")
async def test_a_ledger_without_its_row_is_an_outage(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE ledger DISABLE TRIGGER ALL; DELETE FROM ledger")
    for path in ("", "/changes", "/changes/export", "/consistency?from=0"):
        answer = await client.get(f"{LEDGER}{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("query", [{}, {"action": "invoice.*"}])
@pytest.mark.usefixtures("database_settings")
async def test_a_follower_misses_nothing_where_the_ledger_is_smaller_than_before(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer, query: dict[str, Any]
) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 5})
    await sealer.seal_all()
    # The process knows that there were five.
    assert (await read(client, after=3, wait=20))["next_after"] == 4
    waiting = asyncio.create_task(client.get(CHANGES, params={"after": 4, "wait": 1}))
    await asyncio.sleep(0.1)
    await connection.execute(LAG_BEHIND)
    assert await read(client, after=2, wait=1, **query) == {"items": [], "limit": 20, "next_after": 2, "size": 3}
    assert (await waiting).json() == {"items": [], "limit": 20, "next_after": 4, "size": 3}


@pytest.mark.usefixtures("database_settings")
async def test_a_change_whose_revision_was_redacted_is_passed_over(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 2})
    await sealer.seal_all()
    await connection.execute("ALTER TABLE audit_revision DISABLE TRIGGER ALL; DELETE FROM audit_revision")
    assert await read(client) == {"items": [], "limit": 20, "next_after": 1, "size": 2}
    assert (await read(client, wait=0.2, after=0))["next_after"] == 1
