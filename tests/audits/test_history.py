"""History: every change is one revision, and none can be rewritten."""

import asyncio
import hashlib
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import pytest
import rfc8785

from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.audits.test_cursor import walk


async def history(client: httpx2.AsyncClient, audit_id: str, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(f"{AUDITS}/{audit_id}/history", params=query)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def test_every_change_adds_a_revision_with_its_snapshot(client: httpx2.AsyncClient) -> None:
    created = await create_audit(client, details={"a": 1e308, "b": 0.1, "c": -0.0, "d": 6.677e16})
    url = f"{AUDITS}/{created['id']}"
    headers = {"X-Actor-Id": quote("Zoë \N{GRINNING FACE}"), "X-Change-Reason": "100%25 wrong"}
    patched = (await client.patch(url, json={"status": "failure"}, headers=headers)).json()
    replaced = (await client.put(url, json=audit_body(occurred_at="2026-01-01T00:00:00Z"))).json()
    deleted = (await client.delete(url, headers={"X-Actor-Id": "x"})).json()
    revisions = await history(client, created["id"])
    assert [revision["version"] for revision in revisions] == [4, 3, 2, 1]
    assert [revision["operation"] for revision in revisions] == ["delete", "update", "update", "create"]
    assert [revision["record"] for revision in revisions] == [replaced, replaced, patched, created]
    assert [revision["changed_by"] for revision in revisions] == ["x", None, "Zoë \N{GRINNING FACE}", None]
    assert [revision["reason"] for revision in revisions] == [None, None, "100% wrong", None]
    assert revisions[0]["changed_at"] == deleted["deleted_at"]
    assert revisions[1]["changed_at"] == replaced["updated_at"]
    assert revisions[3]["changed_at"] == created["recorded_at"]
    hashes = [revision["hash"] for revision in revisions]
    assert [revision["previous_hash"] for revision in revisions] == [*hashes[1:], None]
    assert len(set(hashes)) == 4
    assert all(len(digest) == 64 for digest in hashes)
    assert deleted["version"] == 4


async def test_a_hash_is_computed_as_the_operating_guide_defines_it(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    created = await create_audit(client, details={"b": 1.5, "a": "é"})
    await client.patch(f"{AUDITS}/{created['id']}", json={"status": "failure"}, headers={"X-Actor-Id": "u-4"})
    rows = await connection.fetch("SELECT salt FROM audit_revision ORDER BY version DESC")
    salts: list[bytes] = [row["salt"] for row in rows]
    assert [len(salt) for salt in salts] == [16, 16]
    assert salts[0] != salts[1]
    for revision, salt in zip(await history(client, created["id"]), salts, strict=True):
        members = {name: value for name, value in revision.items() if name != "hash"}
        hashed = rfc8785.dumps(members | {"salt": salt.hex(), "audit_id": created["id"]})
        assert hashlib.sha256(hashed).hexdigest() == revision["hash"]


async def test_history_has_pages_by_cursor_and_by_offset(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    for _ in range(6):
        await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
    revisions = await walk(client, f"{AUDITS}/{record['id']}/history", limit=3)
    assert [revision["version"] for revision in revisions] == [7, 6, 5, 4, 3, 2, 1]
    assert [revision["version"] for revision in await history(client, record["id"], limit=2, offset=4)] == [3, 2]
    page = (await client.get(f"{AUDITS}/{record['id']}/history")).json()
    assert (page["total"], page["limit"], page["offset"], page["next_cursor"]) == (7, 20, 0, None)
    assert (await client.get(f"{AUDITS}/{record['id']}/history", params={"limit": 51})).status_code == 422


async def test_a_cursor_of_another_record_gets_422(client: httpx2.AsyncClient) -> None:
    first, second = await create_audit(client), await create_audit(client)
    await client.patch(f"{AUDITS}/{first['id']}", json={"status": "failure"})
    cursor = (await client.get(f"{AUDITS}/{first['id']}/history", params={"limit": 1})).json()["next_cursor"]
    response = await client.get(f"{AUDITS}/{second['id']}/history", params={"cursor": cursor})
    assert response.status_code == 422


async def test_the_history_of_an_unknown_id_gets_404(client: httpx2.AsyncClient) -> None:
    response = await client.get(f"{AUDITS}/01a202e4-1742-76d7-9e81-3d827693f0c3/history")
    assert (response.status_code, response.json()["code"]) == (404, "audit-not-found")


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_revision SET reason = 'x'", "DELETE FROM audit_revision", "TRUNCATE audit_revision"],
)
async def test_the_application_cannot_rewrite_history(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, statement: str
) -> None:
    await create_audit(client)
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT count(*) FROM audit_revision") == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_revision SET reason = 'x'", "DELETE FROM audit_revision", "TRUNCATE audit_revision"],
)
async def test_history_cannot_be_rewritten_with_ordinary_triggers_disabled(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, statement: str
) -> None:
    await create_audit(client)
    await connection.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await connection.execute(statement)
    assert await connection.fetchval("SELECT count(*) FROM audit_revision") == 1


async def test_a_refused_change_adds_no_revision(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    record = await create_audit(client)
    url = f"{AUDITS}/{record['id']}"
    assert (await client.patch(url, json={"details": {"a": [1e308] * 250}})).status_code == 422
    assert (await client.patch(url, json={"status": "failure"}, headers={"If-Match": '"9"'})).status_code == 412
    assert await connection.fetchval("SELECT count(*) FROM audit_revision") == 1
    assert (await client.get(url)).json() == record


async def test_concurrent_changes_keep_the_chain_unbroken(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    url = f"{AUDITS}/{record['id']}"
    await asyncio.gather(*(client.patch(url, json={"details": {"n": n}}) for n in range(20)))
    revisions = await history(client, record["id"], limit=50)
    assert [revision["version"] for revision in revisions] == list(range(21, 0, -1))
    hashes = [revision["hash"] for revision in revisions]
    assert [revision["previous_hash"] for revision in revisions] == [*hashes[1:], None]


@pytest.mark.parametrize("name", ["X-Actor-Id", "X-Change-Reason"])
@pytest.mark.parametrize("value", ["", "%", "%zz", "%ff", "é", "%00", "%0a", "a" * 513])
async def test_a_malformed_percent_encoded_header_gets_422(
    client_of_module: httpx2.AsyncClient, connection_of_module: asyncpg.Connection, name: str, value: str
) -> None:
    response = await client_of_module.post(AUDITS, json=audit_body(), headers={name.encode(): value.encode()})
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["loc"] == ["header", name]
    assert await connection_of_module.fetchval("SELECT count(*) FROM audit_revision") == 0


async def test_blanks_around_a_header_are_no_part_of_it_but_percent_encoded_ones_are(
    client: httpx2.AsyncClient,
) -> None:
    headers = [(b"X-Actor-Id", b" u-4 \t"), (b"X-Change-Reason", b"%20why%20 ")]
    response = await client.post(AUDITS, json=audit_body(), headers=headers)
    (revision,) = await history(client, response.json()["id"])
    assert (revision["changed_by"], revision["reason"]) == ("u-4", " why ")


async def test_the_longest_actor_and_reason_are_kept(client: httpx2.AsyncClient) -> None:
    headers = {"X-Actor-Id": quote("é" * 256), "X-Change-Reason": quote("ß" * 512)}
    response = await client.post(AUDITS, json=audit_body(), headers=headers)
    (revision,) = await history(client, response.json()["id"])
    assert (revision["changed_by"], revision["reason"]) == ("é" * 256, "ß" * 512)
