"""Create, read, replace, patch and delete: statuses, headers and bodies."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body, create_audit

FIELDS = {
    "id", "occurred_at", "recorded_at", "updated_at", "action", "entity_type", "entity_id",
    "actor_type", "actor_id", "status", "details", "correlation_id", "version",
    "source", "event_id",
}  # fmt: skip


async def test_create_answers_201_with_location_and_the_record(client: httpx2.AsyncClient) -> None:
    response = await client.post(AUDITS, json=audit_body(details={"amount": 12.5}, correlation_id="c-1"))
    record = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"{AUDITS}/{record['id']}"
    assert record.keys() == FIELDS
    assert UUID(record["id"]).version == 7
    assert record["version"] == 1
    assert record["details"] == {"amount": 12.5}
    assert record["correlation_id"] == "c-1"


async def test_fields_that_are_left_out_take_their_defaults(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    assert record["actor_type"] == "user"
    assert record["status"] == "success"
    assert record["details"] == {}
    assert record["correlation_id"] is None
    assert record["occurred_at"] == record["recorded_at"] == record["updated_at"]
    assert datetime.now(UTC) - datetime.fromisoformat(record["occurred_at"]) < timedelta(minutes=1)


async def test_times_are_answered_in_utc_with_z(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client, occurred_at="2026-01-31T23:30:00.123456789-02:00")
    assert record["occurred_at"] == "2026-02-01T01:30:00.123456Z"


async def test_location_reads_the_same_record(client: httpx2.AsyncClient) -> None:
    created = await client.post(AUDITS, json=audit_body(entity_id="Ünïcode/☃ \u2028"))
    response = await client.get(created.headers["Location"])
    assert response.status_code == 200
    assert response.json() == created.json()


async def test_put_replaces_everything_and_makes_a_version(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client, details={"a": 1}, status="failure", correlation_id="c")
    body = audit_body(action="invoice.void", occurred_at="2026-01-01T00:00:00Z")
    response = await client.put(f"{AUDITS}/{record['id']}", json=body)
    replaced = response.json()
    assert response.status_code == 200
    assert replaced | body == replaced | {"occurred_at": "2026-01-01T00:00:00Z"}
    assert (replaced["details"], replaced["status"], replaced["correlation_id"]) == ({}, "success", None)
    assert (replaced["version"], replaced["recorded_at"]) == (2, record["recorded_at"])
    assert replaced["updated_at"] > record["updated_at"]


async def test_put_requires_occurred_at(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    response = await client.put(f"{AUDITS}/{record['id']}", json=audit_body())
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["body", "occurred_at"]


async def test_patch_replaces_only_the_given_fields_each_as_a_whole(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client, details={"a": 1, "b": 2}, correlation_id="c")
    response = await client.patch(f"{AUDITS}/{record['id']}", json={"details": {"b": 3}, "correlation_id": None})
    patched = response.json()
    assert response.status_code == 200
    changed = {"details": {"b": 3}, "correlation_id": None, "version": 2, "updated_at": patched["updated_at"]}
    assert patched == record | changed


async def test_a_patch_keeps_every_field_that_it_does_not_name(client: httpx2.AsyncClient) -> None:
    others = {"actor_type": "service", "details": {"a": 1}, "correlation_id": "c", "source": "s", "event_id": "1"}
    record = await create_audit(client, status="failure", occurred_at="2026-01-31T12:00:00Z", **others)
    for change in ({"action": "invoice.void"}, {"status": "success"}):
        patched = (await client.patch(f"{AUDITS}/{record['id']}", json=change)).json()
        assert patched == record | change | {name: patched[name] for name in ("version", "updated_at")}
        record = patched


async def test_a_patch_that_changes_nothing_still_makes_a_version(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    response = await client.patch(f"{AUDITS}/{record['id']}", json={"action": record["action"]})
    assert response.json()["version"] == 2


async def test_delete_answers_with_the_deleted_version_and_the_record_is_gone(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client)
    response = await client.delete(f"{AUDITS}/{record['id']}")
    assert response.status_code == 200
    assert response.json() | {"deleted_at": ""} == {"id": record["id"], "version": 2, "deleted_at": ""}
    assert datetime.fromisoformat(response.json()["deleted_at"]).tzinfo == UTC
    assert (await client.get(f"{AUDITS}/{record['id']}")).status_code == 404
    assert await connection.fetchval("SELECT count(*) FROM audit") == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_unknown_id_gets_404_for_every_method(client_of_module: httpx2.AsyncClient, method: str) -> None:
    body = {"PUT": audit_body(occurred_at="2026-01-01T00:00:00Z"), "PATCH": {"status": "failure"}}.get(method)
    response = await client_of_module.request(method, f"{AUDITS}/01a202e4-1742-76d7-9e81-3d827693f0c3", json=body)
    assert response.status_code == 404
    assert response.json()["code"] == "audit-not-found"


async def test_a_path_without_a_uuid_gets_404(client_of_module: httpx2.AsyncClient) -> None:
    response = await client_of_module.get(f"{AUDITS}/not-a-uuid")
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
