"""GET /audits: pages, filters, order and counts."""

import json
from typing import Any

import asyncpg
import httpx2
import pytest

from src.pagination import COUNT_CAP
from tests.audits.factories import AUDITS, create_audit

INSERT_MANY = """
    INSERT INTO audit (id, action, entity_type, entity_id, actor_id, occurred_at)
    SELECT gen_random_uuid(), 'a', 'e', n::text, 'u', timestamptz '2026-01-01Z' + n * interval '1 second'
    FROM generate_series(1, $1::int) AS n
"""


async def find(client: httpx2.AsyncClient, **query: Any) -> dict[str, Any]:
    response = await client.get(AUDITS, params=query)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def found_ids(client: httpx2.AsyncClient, **query: Any) -> set[str]:
    return {record["entity_id"] for record in (await find(client, **query))["items"]}


async def test_a_page_has_20_records_newest_first_by_default(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, 60)
    page = await find(client)
    assert [record["entity_id"] for record in page["items"]] == [str(n) for n in range(60, 40, -1)]
    assert (page["limit"], page["offset"], page["total"], page["total_relation"]) == (20, 0, 60, "eq")
    assert page.keys() == {"items", "limit", "offset", "total", "total_relation", "next_cursor"}
    ascending = await find(client, order="asc", limit=50, offset=1)
    assert [record["entity_id"] for record in ascending["items"]] == [str(n) for n in range(2, 52)]


@pytest.mark.parametrize("limit", [0, 51, -1, 2**63, 2**64, "x", "", "1.5"])
async def test_a_limit_outside_1_to_50_gets_422(client_of_module: httpx2.AsyncClient, limit: object) -> None:
    response = await client_of_module.get(AUDITS, params={"limit": str(limit)})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize("limit", [1, 50])
async def test_a_limit_of_1_and_of_50_is_allowed(client_of_module: httpx2.AsyncClient, limit: int) -> None:
    assert (await find(client_of_module, limit=limit))["limit"] == limit


async def test_a_page_beyond_the_end_is_empty_and_has_the_total(client: httpx2.AsyncClient) -> None:
    await create_audit(client)
    page = await find(client, offset=10_000)
    assert (page["items"], page["total"], page["total_relation"]) == ([], 1, "eq")
    assert (await client.get(AUDITS, params={"offset": 10_001})).status_code == 422


async def test_equal_times_are_ordered_by_id(client: httpx2.AsyncClient) -> None:
    created = [await create_audit(client, occurred_at="2026-01-01T00:00:00Z") for _ in range(5)]
    ids = [record["id"] for record in (await find(client, order="asc"))["items"]]
    assert ids == sorted(record["id"] for record in created)


async def test_a_capped_count_stops_at_the_cap_and_total_relation_says_so(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, COUNT_CAP)
    page = await find(client)
    assert (page["total"], page["total_relation"]) == (COUNT_CAP, "eq")
    await connection.execute(INSERT_MANY, 1)
    page = await find(client, count="capped")
    assert (page["total"], page["total_relation"]) == (COUNT_CAP, "gte")
    page = await find(client, count="exact")
    assert (page["total"], page["total_relation"]) == (COUNT_CAP + 1, "eq")
    page = await find(client, count="none")
    assert (page["total"], page["total_relation"]) == (None, None)
    assert len(page["items"]) == 20


@pytest.fixture(scope="module")
async def client_with_records(client_of_module: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Where there are three records that differ in every field; `entity_id` tells them apart."""
    client = client_of_module
    await create_audit(
        client, entity_id="1", action="invoice.update", details={"a": {"b": [1, 2]}}, occurred_at="2026-01-01T00:00:00Z"
    )
    await create_audit(
        client,
        entity_id="2",
        action="invoice.update.line",
        entity_type="line",
        actor_type="service",
        actor_id="u-2",
        status="failure",
        correlation_id="c-2",
        occurred_at="2026-01-02T00:00:00Z",
    )
    await create_audit(
        client,
        entity_id="3",
        action="invoicex",
        status="pending",
        details={"a": 1e3},
        occurred_at="2026-01-03T00:00:00Z",
    )
    return client


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "123"),
        ({"action": "invoice.update"}, "1"),
        ({"action": "invoice.*"}, "12"),
        ({"action": "invoice.update.*"}, "2"),
        ({"action": ["invoicex", "invoice.update.*"]}, "23"),
        ({"action": "INVOICE.*"}, ""),
        ({"entity_type": "line"}, "2"),
        ({"entity_id": "3"}, "3"),
        ({"entity_id": ["3", "1", "3"]}, "13"),
        ({"entity_type": ["line", "inv*"]}, "123"),
        ({"entity_type": ["line", "none"], "entity_id": ["1", "2"]}, "2"),
        ({"actor_id": ["u-2", "u-3"]}, "2"),
        ({"actor_id": ["u-1", "u-2"], "status": ["failure", "success"]}, "12"),
        ({"actor_type": "service"}, "2"),
        ({"actor_id": "u-2"}, "2"),
        ({"status": "failure"}, "2"),
        ({"status": ["failure", "pending"]}, "23"),
        ({"correlation_id": "c-2"}, "2"),
        ({"occurred_from": "2026-01-02T00:00:00Z"}, "23"),
        ({"occurred_to": "2026-01-02T01:00:00+01:00"}, "1"),
        ({"occurred_from": "0001-01-01T00:00:00Z", "occurred_to": "9999-12-31T23:59:59.999999Z"}, "123"),
        ({"details": json.dumps({"a": {"b": [2]}})}, "1"),
        ({"details": json.dumps({"a": 1000})}, "3"),
        ({"details": "{}"}, "123"),
        ({"status": ["failure", "pending"], "action": "invoice.*"}, "2"),
        ({"status": "success", "action": "invoicex"}, ""),
    ],
)
async def test_filters_combine_with_and_and_their_values_with_or(
    client_with_records: httpx2.AsyncClient, query: dict[str, Any], expected: str
) -> None:
    assert await found_ids(client_with_records, **query) == set(expected)


NAMES = (
    "a%c", "a%", "abc", "a_c", r"a\c", "a*c", "**!", "*!", "invoice", "Microsoft.Insights/actionGroups/delete",
    "Microsoft.Insights\uffff", "Add member to role.", "Add member", "a\ud7ff", "a\ue000", "a\U0010ffff", "\U0010ffff",
    "\U0010ffffb", "x" * 256, "ä", "z\u0301", "z",
)  # fmt: skip


@pytest.fixture(scope="module")
async def client_with_names(client_of_module: httpx2.AsyncClient) -> httpx2.AsyncClient:
    for name in NAMES:
        await create_audit(client_of_module, action=name, entity_type=name, actor_id="names")
    return client_of_module


@pytest.mark.parametrize("field", ["action", "entity_type"])
@pytest.mark.parametrize(
    "prefix",
    ["a%", "a_", "a\\", "a*", "*", "**", "inv", "Microsoft.", "Microsoft.Insights/", "Add member ", "a", "a\ud7ff",
     "\U0010ffff", "a\U0010ffff", "\U0010ffff\U0010ffff", "x" * 256, "Ä", "ä", "z", "none"],
)  # fmt: skip
async def test_a_filter_that_ends_in_a_star_finds_all_names_that_begin_so(
    client_with_names: httpx2.AsyncClient, field: str, prefix: str
) -> None:
    page = await find(client_with_names, **{field: f"{prefix}*"}, actor_id="names", limit=50)
    assert {record[field] for record in page["items"]} == {name for name in NAMES if name.startswith(prefix)}


@pytest.mark.parametrize("field", ["action", "entity_type"])
async def test_a_star_before_the_end_means_itself(client_with_names: httpx2.AsyncClient, field: str) -> None:
    page = await find(client_with_names, **{field: "a*c"}, actor_id="names")
    assert [record[field] for record in page["items"]] == ["a*c"]


@pytest.mark.parametrize(
    "query",
    [
        "status[]=failure&status[]=pending",
        "status=failure&status=pending&actor_id=u-1&actor_id=u-9&entity_type[]=inv*&entity_type[]=x&entity_id[]=INV-1",
        "status%5B%5D=failure&status%5b%5d=pending",
        "status=failure&status[]=pending",
        "status[]=failure&status=pending&action[]=invoice.*",
        'status[]=failure&status[]=pending&details={"a":[]}',
        "status%5B]=failure&st%61tus[%5D=pending&details=%7B%22a%22%3A+%5B%5D%7D",
    ],
)
async def test_a_list_may_be_written_with_brackets(client: httpx2.AsyncClient, query: str) -> None:
    for status in ("success", "failure", "pending"):
        await create_audit(client, status=status, details={"a": [1]})
    first = await client.get(httpx2.URL(AUDITS, query=f"{query}&limit=1".encode()))
    assert first.status_code == 200, first.text
    second = await client.get(first.headers["Link"].rpartition("<")[2].partition(">")[0])
    assert [page.json()["items"][0]["status"] for page in (first, second)] == ["pending", "failure"]
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("action=*", ["query", "action", 0]),
        ("action=%20*", ["query", "action", 0]),
        ("action=a%20", ["query", "action", 0]),
        ("action=%E3%80%80a", ["query", "action", 0]),
        (f"action={'a' * 257}", ["query", "action", 0]),
        (f"action={'a' * 257}*", ["query", "action", 0]),
        ("action=", ["query", "action", 0]),
        ("status=unknown", ["query", "status", 0]),
        ("actor_type=robot", ["query", "actor_type"]),
        ("entity_id=%00", ["query", "entity_id", 0]),
        ("entity_type=*", ["query", "entity_type", 0]),
        (f"entity_id={'%C3%A9' * 1001}", ["query", "entity_id", 0]),
        ("occurred_from=2026-01-01", ["query", "occurred_from"]),
        ("occurred_from=1700000000", ["query", "occurred_from"]),
        ("occurred_to=2026-01-01T00:00:00", ["query", "occurred_to"]),
        ("occurred_to=9999-12-31T23:59:59-01:00", ["query", "occurred_to"]),
        ("details=[]", ["query", "details"]),
        ("details={", ["query", "details"]),
        ("details=%7B%22a%22:NaN%7D", ["query", "details"]),
        ("details=%7B%22a%22:%22%5Cu0000%22%7D", ["query", "details"]),
        ("details=" + '{"a":' * 33 + "1" + "}" * 33, ["query", "details"]),
        ("order=up", ["query", "order"]),
        ("count=some", ["query", "count"]),
        ("enitty_id=1", ["query", "enitty_id"]),
        ("limit=1&limit=2", ["query", "limit"]),
        ("limit[]=1", ["query", "limit[]"]),
        ("actor_type%5B%5D=user", ["query", "actor_type[]"]),
        ("status[][]=failure", ["query", "status[][]"]),
        ("status[0]=failure", ["query", "status[0]"]),
        ("status[]=unknown", ["query", "status", 0]),
        ("status[]=%ff", ["query"]),
        ("actor_type=user&actor_type=system", ["query", "actor_type"]),
        ("actor_id=u-1&actor_id=%00", ["query", "actor_id", 1]),
        ("entity_id=%ff", ["query"]),
    ],
)
async def test_an_invalid_query_gets_422_and_names_the_parameter(
    client_of_module: httpx2.AsyncClient, query: str, location: list[str | int]
) -> None:
    response = await client_of_module.get(f"{AUDITS}?{query}")
    assert response.status_code == 422, response.text
    assert [error["loc"] for error in response.json()["errors"]] == [location]


async def test_an_operation_without_parameters_refuses_any(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    response = await client.get(f"{AUDITS}/{record['id']}", params={"fields": "id"})
    assert response.status_code == 422
    assert (await client.post(f"{AUDITS}?dry_run=1", json={})).status_code == 422
