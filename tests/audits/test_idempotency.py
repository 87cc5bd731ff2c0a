"""A repeated request with an idempotency key is carried out once, and gets the first answer."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from scripts.postgres import Cluster
from src.config import DatabaseSettings
from src.engines import database_url
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.outages import LossyProxy

BATCH = f"{AUDITS}/batch"
KEY = {"Idempotency-Key": "key 1"}


async def count(connection: asyncpg.Connection) -> int:
    number: int = await connection.fetchval("SELECT count(*) FROM audit")
    return number


def batch_body(**changes: Any) -> dict[str, Any]:
    return {"items": [audit_body(entity_id=str(number), **changes) for number in range(3)]}


@pytest.mark.parametrize(("path", "body"), [(AUDITS, audit_body), (BATCH, batch_body)])
async def test_the_same_key_and_payload_replay_the_first_answer(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, path: str, body: Callable[[], dict[str, Any]]
) -> None:
    first = await client.post(path, json=body(), headers=KEY)
    before = await count(connection)
    second = await client.post(path, json=body(), headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for name in ("Location", "ETag"):
        assert first.headers.get(name) == second.headers.get(name)
    assert await count(connection) == before


async def test_a_key_with_blanks_around_it_is_the_same_key(client: httpx2.AsyncClient) -> None:
    first = await client.post(AUDITS, json=audit_body(), headers=KEY)
    second = await client.post(AUDITS, json=audit_body(), headers={b"Idempotency-Key": b" key 1 \t"})
    assert (second.content, second.headers["Idempotency-Replayed"]) == (first.content, "true")


async def test_a_replay_is_the_first_answer_even_after_later_changes(client: httpx2.AsyncClient) -> None:
    body = audit_body(details={"a": 1e308, "b": 6.677e16, "c": 0.1, "ä": [None, True]})
    first = await client.post(AUDITS, json=body, headers=KEY)
    await client.patch(first.headers["Location"], json={"status": "failure"})
    await client.delete(first.headers["Location"])
    second = await client.post(AUDITS, json=body, headers=KEY)
    assert (second.status_code, second.content, second.headers["ETag"]) == (201, first.content, '"1"')


async def test_a_replay_of_a_batch_is_the_first_answer_even_after_later_changes(client: httpx2.AsyncClient) -> None:
    first = await client.post(BATCH, json=batch_body(), headers=KEY)
    for item in first.json()["items"][:2]:
        await client.patch(f"{AUDITS}/{item['id']}", json={"status": "failure"})
    second = await client.post(BATCH, json=batch_body(), headers=KEY)
    assert (second.status_code, second.content) == (201, first.content)


async def test_different_spellings_of_the_same_json_value_are_the_same_payload(client: httpx2.AsyncClient) -> None:
    body = audit_body(details={"a": 1, "b": "é"})
    first = await client.post(AUDITS, json=body, headers=KEY)
    written = json.dumps(dict(reversed(body.items())), indent=2).replace(": 1", ": 1.0")
    second = await client.post(AUDITS, content=written, headers=KEY | {"Content-Type": "application/json"})
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == first.json()


async def test_the_same_key_with_another_payload_gets_422_and_does_nothing(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await client.post(AUDITS, json=audit_body(), headers=KEY)
    response = await client.post(AUDITS, json=audit_body(status="success"), headers=KEY)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")
    assert await count(connection) == 1


async def test_a_key_belongs_to_its_endpoint(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    assert (await client.post(AUDITS, json=audit_body(), headers=KEY)).status_code == 201
    assert (await client.post(BATCH, json=batch_body(), headers=KEY)).status_code == 201
    assert await count(connection) == 4


async def test_a_refused_request_does_not_use_its_key(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    assert (await client.post(AUDITS, json={}, headers=KEY)).status_code == 422
    too_large = audit_body(details={"a": [1e308] * 250})
    assert (await client.post(AUDITS, json=too_large, headers=KEY)).status_code == 422
    response = await client.post(AUDITS, json=audit_body(), headers=KEY)
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response.headers
    assert await count(connection) == 1


@pytest.mark.parametrize(("path", "body", "rows"), [(AUDITS, audit_body, 1), (BATCH, batch_body, 3)])
async def test_30_concurrent_requests_with_one_key_create_one_record_and_each_gets_201(
    client: httpx2.AsyncClient,
    connection: asyncpg.Connection,
    path: str,
    body: Callable[[], dict[str, Any]],
    rows: int,
) -> None:
    answers = await asyncio.gather(*(client.post(path, json=body(), headers=KEY) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert await count(connection) == rows


async def test_a_retry_after_a_lost_commit_answer_creates_no_second_record(
    cluster: Cluster, database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    name = database_url(database).database
    with tempfile.TemporaryDirectory() as folder:
        async with LossyProxy(cluster, Path(folder)) as proxy:
            url = SecretStr(f"postgresql://app@/{name}?host={proxy.url_host}")
            settings = DatabaseSettings(database_url=url, database_pool_size=1)
            async with run_application(settings) as client:
                for number in range(20):
                    # This request prepares the statement, so that the proxy swallows the next one's answer to INSERT.
                    await client.post(AUDITS, json=audit_body(), headers={"Idempotency-Key": f"warm {number}"})
                    key = {"Idempotency-Key": str(number)}
                    proxy.swallow_next = True
                    lost = await client.post(AUDITS, json=audit_body(), headers=key)
                    assert (lost.status_code, lost.json()["code"]) == (503, "database-unavailable")
                    retried = await client.post(AUDITS, json=audit_body(), headers=key)
                    assert (retried.status_code, retried.headers["Idempotency-Replayed"]) == (201, "true")
    assert proxy.swallowed == 20
    assert await count(connection) == 40


async def test_an_expired_key_can_be_reused_and_other_expired_keys_are_removed(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    for number in range(5):
        await client.post(AUDITS, json=audit_body(), headers={"Idempotency-Key": str(number)})
    assert await connection.fetchval(
        "SELECT bool_and(expires_at BETWEEN now() + interval '23 hours' AND now() + interval '25 hours')"
        " FROM audit_idempotency_key"
    )
    await connection.execute("UPDATE audit_idempotency_key SET expires_at = now()")
    response = await client.post(AUDITS, json=audit_body(status="failure"), headers={"Idempotency-Key": "0"})
    assert response.status_code == 201
    assert "Idempotency-Replayed" not in response.headers
    assert await connection.fetchval("SELECT count(*) FROM audit_idempotency_key") == 1
    again = await client.post(AUDITS, json=audit_body(status="failure"), headers={"Idempotency-Key": "0"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(connection) == 6


@pytest.mark.usefixtures("database_settings")
async def test_a_key_whose_first_revision_is_gone_gets_409(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await client.post(BATCH, json=batch_body(), headers=KEY)
    await connection.execute(
        "ALTER TABLE audit_revision DISABLE TRIGGER USER;DELETE FROM audit_revision WHERE record ->> 'entity_id' = '1'"
    )
    response = await client.post(BATCH, json=batch_body(), headers=KEY)
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert await count(connection) == 3


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "a\tb", "\x7f"])
async def test_a_key_that_is_not_printable_ascii_gets_422(client_of_module: httpx2.AsyncClient, key: str) -> None:
    response = await client_of_module.post(AUDITS, json=audit_body(), headers={b"Idempotency-Key": key.encode()})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["header", "Idempotency-Key"]


async def test_the_longest_key_is_accepted(client: httpx2.AsyncClient) -> None:
    for _ in range(2):
        response = await client.post(AUDITS, json=audit_body(), headers={"Idempotency-Key": "~" * 255})
        assert response.status_code == 201


async def test_two_requests_without_a_key_create_two_records(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await create_audit(client)
    await create_audit(client)
    assert await count(connection) == 2
