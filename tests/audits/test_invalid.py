"""Invalid records get 422, malformed JSON gets 400, and nothing is stored."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from src.audits.constants import MAX_DETAILS_BYTES
from src.config import DatabaseSettings
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.conftest import driver_url

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def client(database_of_module: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """One client for all tests of this module, since they write nothing."""
    async with run_application(database_of_module) as client:
        await create_audit(client, entity_id="before")
        yield client


@pytest.fixture(scope="module")
async def connection(database_of_module: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(driver_url(database_of_module))
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
async def nothing_is_written(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Check after each test of this module that the database is unchanged, and that the list can be read."""
    before = await connection.fetch("SELECT * FROM audit")
    yield
    assert await connection.fetch("SELECT * FROM audit") == before
    assert (await client.get(AUDITS)).json()["total"] == 1


async def refuse(client: httpx2.AsyncClient, body: dict[str, Any]) -> list[list[str | int]]:
    """Send `body` as a new record and as a replacement. Both must be refused, with errors at the same locations."""
    record = (await client.get(AUDITS)).json()["items"][0]
    created = await client.post(AUDITS, json=body)
    replacement = {"occurred_at": "2026-01-01T00:00:00Z"} | body
    replaced = await client.put(f"{AUDITS}/{record['id']}", json=replacement)
    assert (created.status_code, replaced.status_code) == (422, 422), created.text
    problem = created.json()
    assert problem["code"] == "validation-error"
    assert problem["errors"] == replaced.json()["errors"]
    assert all(error.keys() == {"loc", "msg", "type"} for error in problem["errors"])
    return [error["loc"] for error in problem["errors"]]


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *product(("action", "entity_type"), ("", "a" * 257, "a\n", "\x85a", "a*", "*", " a", "a\u3000", " ", None, 1)),
        *product(("entity_id", "actor_id"), ("", "a" * 1025, "é" * 1001, "\x7f", "a\n", "\x85", None, 1)),
        *product(("correlation_id",), ("", "a" * 129, "\t", 1, [])),
        *product(("actor_type",), ("robot", "", None, "USER")),
        *product(("status",), ("ok", "", None, 0)),
        *product(("details",), (None, [], "{}", 1)),
        ("occurred_at", None),
        ("occurred_at", 1700000000),
        ("occurred_at", "1700000000"),
        ("occurred_at", "2026-01-01"),
        ("occurred_at", "2026-01-01T00:00:00"),
        ("occurred_at", "2026-01-01 00:00:00Z"),
        ("occurred_at", "2026-02-30T00:00:00Z"),
        ("occurred_at", "2026-01-01T00:00Z"),
        ("occurred_at", "0001-01-01T00:00:00Z"),
        ("occurred_at", "0001-01-01T00:00:00+14:00"),
        ("occurred_at", "9999-12-31T23:59:59.999999Z"),
        ("occurred_at", "9999-12-31T23:59:59-14:00"),
        ("occurred_at", "1969-12-31T23:59:59Z"),
        ("occurred_at", "infinity"),
        ("id", "01a202e4-1742-76d7-9e81-3d827693f0c3"),
        ("version", 1),
        ("Action", "a"),
    ],
)
async def test_errors_name_a_field_outside_its_limits(client: httpx2.AsyncClient, field: str, value: Any) -> None:
    assert await refuse(client, audit_body(**{field: value})) == [["body", field]]


async def test_the_largest_allowed_values_are_accepted(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=4, seconds=30)).isoformat()
    record = await create_audit(
        client,
        action="\N{GRINNING FACE}" * 256,
        entity_type="*/\u3000*\u200b",
        entity_id="\N{GRINNING FACE}" * 500,
        actor_id="\u00a0" + "é" * 976 + "a" * 45 + " ",
        correlation_id="c" * 128,
        details=nested(32),
        occurred_at=ahead,
    )
    assert (await client.get(f"{AUDITS}/{record['id']}")).json() == record
    for moment in ("1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"):
        assert (await create_audit(client, occurred_at=moment))["occurred_at"] == "1970-01-01T00:00:00Z"
    await connection.execute("DELETE FROM audit WHERE entity_id <> 'before'")


async def test_an_id_with_too_many_bytes_is_told_how_many_there_may_be(client: httpx2.AsyncClient) -> None:
    response = await client.post(AUDITS, json=audit_body(entity_id="\N{GRINNING FACE}" * 501))
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"loc": ["body", "entity_id"], "msg": "must take at most 2,000 bytes as UTF-8", "type": "value_error"}
    ]


async def test_more_than_5_minutes_ahead_gets_422(client: httpx2.AsyncClient) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=5, seconds=30)).isoformat()
    assert await refuse(client, audit_body(occurred_at=ahead)) == [["body", "occurred_at"]]


async def test_errors_name_every_missing_field(client: httpx2.AsyncClient) -> None:
    expected = [["body", name] for name in ("action", "entity_type", "entity_id", "actor_id")]
    assert await refuse(client, {}) == expected


@pytest.mark.parametrize("levels", [33, 199, 300, 100_000])
async def test_details_deeper_than_32_levels_get_422(client: httpx2.AsyncClient, levels: int) -> None:
    body = json.dumps(audit_body()).encode()[:-1] + b', "details": ' + b'{"a":' * (levels - 1) + b"{}" + b"}" * levels
    response = await client.post(AUDITS, content=body, headers=JSON)
    assert response.status_code == 422, response.text


@pytest.mark.parametrize(
    "details",
    [
        {"a": "x" * MAX_DETAILS_BYTES},
        {"a": ["é" * 1000] * 33},
        # Short as JSON, 309 digits each as PostgreSQL prints them.
        {"a": [1e308] * 250},
    ],
)
async def test_details_larger_than_64_kib_as_postgresql_prints_them_get_422(
    client: httpx2.AsyncClient, details: dict[str, Any]
) -> None:
    assert await refuse(client, audit_body(details=details)) == [["body", "details"]]


@pytest.mark.parametrize("size", [MAX_DETAILS_BYTES, MAX_DETAILS_BYTES + 1])
async def test_the_limit_of_details_is_exact(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, size: int
) -> None:
    details = {"a": "x" * (size - len('{"a": ""}'))}
    response = await client.post(AUDITS, json=audit_body(details=details))
    assert response.status_code == (201 if size == MAX_DETAILS_BYTES else 422)
    await connection.execute("DELETE FROM audit WHERE entity_id <> 'before'")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ('{"a": "\\u0000"}', ["body", "details", "a"]),
        ('{"\\u0000": 1}', ["body", "details"]),
        ('{"a": [9007199254740993]}', ["body", "details", "a", 0]),
        ('{"a": 1' + "0" * 400 + "}", ["body", "details", "a"]),
        ('{"a": -18446744073709551617}', ["body", "details", "a"]),
    ],
)
async def test_values_that_cannot_be_stored_exactly_get_422(
    client: httpx2.AsyncClient, text: str, location: list[str | int]
) -> None:
    body = json.dumps(audit_body())[:-1] + f', "details": {text}}}'
    response = await client.post(AUDITS, content=body, headers=JSON)
    assert response.status_code == 422, response.text
    assert [error["loc"] for error in response.json()["errors"]] == [location]


@pytest.mark.parametrize(
    "details",
    [
        b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e400}', b'{"a": -1e400}', b'{"a": "\\ud800"}',
        b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\x00"}', b'{"a": 01}', b"{'a': 1}", b'{"a": 1,}', b"{",
    ],
)  # fmt: skip
async def test_malformed_json_gets_400(client: httpx2.AsyncClient, details: bytes) -> None:
    body = json.dumps(audit_body()).encode()[:-1] + b', "details": ' + details + b"}"
    response = await client.post(AUDITS, content=body, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (400, "malformed-json")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"true"])
async def test_a_body_that_is_no_object_gets_422(client: httpx2.AsyncClient, body: bytes) -> None:
    assert (await client.post(AUDITS, content=body, headers=JSON)).status_code == 422


@pytest.mark.parametrize("headers", [JSON, {}])
async def test_a_missing_body_gets_422(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post(AUDITS, headers=headers)
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["body"])


@pytest.mark.parametrize("content_type", ["application/problem+json", 'Application/JSON; charset="UTF-8"'])
async def test_every_json_media_type_is_accepted(client: httpx2.AsyncClient, content_type: str) -> None:
    response = await client.post(AUDITS, content=b"{}", headers={"Content-Type": content_type})
    assert response.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/+json"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=utf-8; charset=latin-1"},
        {"Content-Type": "application/json; charset*=x; charset*1*=y"},
        {},
        JSON | {"Content-Encoding": "gzip"},
        JSON | {"Content-Encoding": "identity, gzip"},
    ],
)
async def test_other_media_types_get_415(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    response = await client.post(AUDITS, content=json.dumps(audit_body()), headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")


async def test_a_body_over_1_mib_gets_413_with_and_without_content_length(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 64 * 1024

    for content in (b" " * (1024 * 1024 + 1), chunks()):
        response = await client.post(AUDITS, content=content, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (413, "payload-too-large")


@pytest.mark.parametrize(
    "changes",
    [{}, {"action": None}, {"details": None}, {"status": None}, {"occurred_at": None}, {"version": 2}, {"unknown": 1}],
)
async def test_a_patch_that_is_empty_or_not_allowed_gets_422(
    client: httpx2.AsyncClient, changes: dict[str, Any]
) -> None:
    record = (await client.get(AUDITS)).json()["items"][0]
    response = await client.patch(f"{AUDITS}/{record['id']}", json=changes)
    assert response.status_code == 422
    assert [error["loc"] for error in response.json()["errors"]] == [["body", *changes]]


async def test_oversized_details_are_refused_without_asking_the_database() -> None:
    details = {"a": [1e300] * 100_000}
    async with run_application(
        DatabaseSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    ) as client:
        response = await client.post(f"{AUDITS}/batch", json={"items": [audit_body(details=details)]})
    assert (response.status_code, response.json()["errors"][0]["type"]) == (422, "details_too_large")
    assert response.json()["errors"][0]["loc"] == ["body", "items", 0, "details"]


@pytest.mark.parametrize("path", [AUDITS, f"{AUDITS}/batch"])
async def test_an_object_with_too_many_fields_is_one_error(client: httpx2.AsyncClient, path: str) -> None:
    crowded = dict.fromkeys(map(str, range(1_001)), 0)
    response = await client.post(path, json=crowded if path == AUDITS else {"items": [audit_body(), crowded]})
    assert response.status_code == 422
    assert [error["type"] for error in response.json()["errors"]] == ["too_many"]
