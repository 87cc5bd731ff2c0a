"""Batches: the service creates all of the records or none."""

import json
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body

BATCH = f"{AUDITS}/batch"


def batch(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [audit_body(entity_id=str(number), **changes) for number in range(count)]


async def total(connection: asyncpg.Connection) -> tuple[int, int]:
    row = await connection.fetchrow("SELECT (SELECT count(*) FROM audit), (SELECT count(*) FROM audit_revision)")
    assert row
    return row[0], row[1]


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_a_batch_creates_all_records_in_the_order_sent(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, size: int
) -> None:
    headers = {"X-Actor-Id": "importer", "X-Change-Reason": "import"}
    response = await client.post(BATCH, json={"items": batch(size, details={"a": [1, "x"]})}, headers=headers)
    body = response.json()
    assert response.status_code == 201
    assert body["count"] == len(body["items"]) == size
    assert [record["entity_id"] for record in body["items"]] == [str(number) for number in range(size)]
    assert await total(connection) == (size, size)
    record = body["items"][-1]
    assert (await client.get(f"{AUDITS}/{record['id']}")).json() == record
    (revision,) = (await client.get(f"{AUDITS}/{record['id']}/history")).json()["items"]
    assert (revision["record"], revision["changed_by"], revision["reason"]) == (record, "importer", "import")


@pytest.mark.parametrize("size", [0, 1001])
async def test_a_batch_of_none_or_of_more_than_1000_gets_422(client_of_module: httpx2.AsyncClient, size: int) -> None:
    response = await client_of_module.post(BATCH, json={"items": batch(size)})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["body", "items"])


async def test_errors_name_the_index_and_field_of_each_invalid_record_and_nothing_is_written(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    items = batch(10)
    items[3]["action"] = "no name *"
    items[7] = {"entity_id": "x", "unknown": 1}
    response = await client.post(BATCH, json={"items": items})
    locations = [error["loc"] for error in response.json()["errors"]]
    assert response.status_code == 422
    assert locations[0] == ["body", "items", 3, "action"]
    assert {tuple(location[:3]) for location in locations[1:]} == {("body", "items", 7)}
    assert await total(connection) == (0, 0)


async def test_errors_name_every_invalid_record_of_a_full_batch(client: httpx2.AsyncClient) -> None:
    items = batch(1000)
    for index in range(0, 1000, 5):
        items[index]["status"] = "nope"
    response = await client.post(BATCH, json={"items": items})
    assert [error["loc"][2] for error in response.json()["errors"]] == list(range(0, 1000, 5))


async def test_errors_name_the_index_of_details_that_are_too_large(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    items = batch(5)
    items[1]["details"] = items[4]["details"] = {"a": [1e308] * 250}
    response = await client.post(BATCH, json={"items": items})
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == [
        ["body", "items", 1, "details"],
        ["body", "items", 4, "details"],
    ]
    assert await total(connection) == (0, 0)
    response = await client.post(BATCH, json={"items": items[1:2]})
    assert response.json()["errors"][0]["loc"] == ["body", "items", 0, "details"]


async def test_a_batch_body_may_have_4_mib_and_no_more(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    text = json.dumps({"items": batch(60, details={"a": "x" * 60_000})})
    headers = {"Content-Type": "application/json"}
    limit = 4 * 1024 * 1024
    response = await client.post(BATCH, content=text + " " * (limit - len(text)), headers=headers)
    assert response.status_code == 201
    response = await client.post(BATCH, content=text + " " * (limit - len(text) + 1), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "payload-too-large")
    assert await total(connection) == (60, 60)


async def test_only_post_is_allowed_on_a_batch(client: httpx2.AsyncClient) -> None:
    response = await client.get(BATCH)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
