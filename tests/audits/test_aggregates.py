"""GET /audits/histogram, /facets and /values: exact up to a number of matches, and bounded beyond that."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.audits.aggregate_schemas import AuditField
from tests.audits.factories import AUDITS, create_audit

HISTOGRAM, FACETS, VALUES = f"{AUDITS}/histogram", f"{AUDITS}/facets", f"{AUDITS}/values"
ACTIONS = ["invoice.create", "invoice.update", "invoice", "user.login", "user.logout", "ünicode"]
TYPES = ["invoice", "user", "report"]
IDS = ["1", "2", "3", "4"]
STATUSES = ["success", "failure", "pending"]
ACTOR_TYPES = ["user", "system", "service"]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = """
    INSERT INTO audit (id, action, entity_type, entity_id, actor_type, actor_id, status, correlation_id, source,
        event_id, details, occurred_at)
    VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
COLUMNS = (
    *("action", "entity_type", "entity_id", "actor_type", "actor_id", "status", "correlation_id", "source", "event_id"),
    *("details", "occurred_at"),
)
Record = dict[str, Any]


def make_records(number: int) -> list[Record]:
    """Records of skewed values and times: many at one instant, and the others ever further from each other."""
    chance = random.Random(number)

    def pick(values: list[str]) -> str:
        return values[min(int(chance.expovariate(1)), len(values) - 1)]

    def make(index: int) -> Record:
        after = timedelta(microseconds=int(10 ** chance.uniform(0, 13))) if index % 3 else timedelta(hours=3)
        source = pick(["s-1", "s-2"]) if index % 2 else None
        return {
            "action": pick(ACTIONS),
            "entity_type": pick(TYPES),
            "entity_id": pick(IDS),
            "actor_type": pick(ACTOR_TYPES),
            "actor_id": pick(IDS),
            "status": pick(STATUSES),
            "correlation_id": pick(["c-1", "c-2"]) if index % 5 else None,
            "source": source,
            "event_id": source and f"e-{index}",
            "details": {"tenant": pick(["t-1", "t-2"]), "n": index % 4},
            "occurred_at": BEGIN + after,
        }

    return [make(index) for index in range(number)]


RECORDS = make_records(500)


async def insert(connection: asyncpg.Connection, records: list[Record]) -> None:
    rows = [tuple(each[name] for name in COLUMNS) for each in records]
    await connection.executemany(INSERT, [(*row[:-2], json.dumps(row[-2]), row[-1]) for row in rows])


@pytest.fixture(scope="module")
async def filled(client_of_module: httpx2.AsyncClient, connection_of_module: asyncpg.Connection) -> httpx2.AsyncClient:
    await insert(connection_of_module, RECORDS)
    return client_of_module


def some_of(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


TIMES = st.integers(-5, 10**7).map(lambda seconds: BEGIN + timedelta(seconds=seconds))
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "action": some_of([*ACTIONS, "invoice*", "user.*", "x*"]),
        "entity_type": some_of([*TYPES, "u*"]),
        "entity_id": some_of(IDS),
        "actor_type": st.sampled_from(ACTOR_TYPES),
        "actor_id": some_of(IDS),
        "status": some_of(STATUSES),
        "correlation_id": st.sampled_from(["c-1", "c-2"]),
        "source": st.sampled_from(["s-1", "s-2", "s-3"]),
        "details": st.sampled_from(["{}", '{"tenant": "t-1"}', '{"n": 1, "tenant": "t-2"}']),
        "occurred_from": TIMES,
        "occurred_to": TIMES,
    },
)


def matches(record: Record, query: dict[str, Any]) -> bool:
    """What the filters of the list mean, written anew."""

    def is_met(name: str, wanted: Any) -> bool:
        if name == "occurred_from":
            return bool(record["occurred_at"] >= wanted)
        if name == "occurred_to":
            return bool(record["occurred_at"] < wanted)
        if name == "details":
            return bool(json.loads(wanted).items() <= record["details"].items())
        value, several = record[name], wanted if isinstance(wanted, list) else [wanted]
        return any(value.startswith(each[:-1]) if each.endswith("*") else value == each for each in several if value)

    return all(is_met(name, wanted) for name, wanted in query.items())


def sent(query: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()} | more


async def read(client: httpx2.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def in_buckets(body: dict[str, Any], records: list[Record]) -> list[tuple[int, int]]:
    """How many records, and how many failures, there are within the bounds of each bucket."""
    found = []
    for bucket in body["buckets"]:
        begin, end = (datetime.fromisoformat(bucket[name]) for name in ("from", "to"))
        those = [each for each in records if begin <= each["occurred_at"] < end]
        found.append((len(those), sum(each["status"] == "failure" for each in those)))
    return found


everything = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@everything
@given(query=QUERIES, buckets=st.integers(1, 120))
async def test_a_histogram_counts_each_match_in_its_bucket(
    filled: httpx2.AsyncClient, query: dict[str, Any], buckets: int
) -> None:
    body = await read(filled, HISTOGRAM, **sent(query, buckets=buckets))
    found = [each for each in RECORDS if matches(each, query)]
    assert body["relation"] == "eq"
    counted = [(each["count"], each["failures"]) for each in body["buckets"]]
    assert counted == in_buckets(body, found)
    assert sum(count for count, _ in counted) == len(found)
    assert all(one["to"] == other["from"] for one, other in pairwise(body["buckets"]))
    if body["buckets"]:
        assert (body["from"], body["to"]) == (body["buckets"][0]["from"], body["buckets"][-1]["to"])
        span = datetime.fromisoformat(body["to"]) - datetime.fromisoformat(body["from"])
        assert len(body["buckets"]) == min(buckets, span // timedelta(microseconds=1))
        for name, end in (("occurred_from", "from"), ("occurred_to", "to")):
            assert name not in query or datetime.fromisoformat(body[end]) == query[name]
    else:
        assert (body["from"], body["to"], found) == (None, None, [])


@everything
@given(query=QUERIES, field=st.sampled_from(AuditField))
async def test_facets_are_the_commonest_values_of_what_matches(
    filled: httpx2.AsyncClient, query: dict[str, Any], field: AuditField
) -> None:
    body = await read(filled, FACETS, **sent(query, field=field.value))
    found = Counter(each[field] for each in RECORDS if matches(each, query))
    expected = sorted(found.items(), key=lambda item: (-item[1], item[0].encode()))[:10]
    assert [(each["value"], each["count"]) for each in body["values"]] == expected
    assert (body["field"], body["relation"], body["sampled"]) == (field, "eq", found.total())


@everything
@given(
    field=st.sampled_from(AuditField), prefix=st.sampled_from(["", "i", "invoice", "u", "ü", "1", "%", "_", "I", "z"])
)
async def test_values_are_those_with_the_prefix(filled: httpx2.AsyncClient, field: AuditField, prefix: str) -> None:
    body = await read(filled, VALUES, field=field.value, prefix=prefix)
    expected = {each[field] for each in RECORDS if each[field].startswith(prefix)}
    assert body == {"field": field, "values": sorted(expected, key=str.encode)[:20]}


async def test_characters_of_patterns_are_literal_in_a_prefix_and_there_are_at_most_20_values(
    client: httpx2.AsyncClient,
) -> None:
    for name in (*(f"a{number}" for number in range(25)), "100%", "1000", "a_b", "axb", r"a\b", "a*b", "\U0010ffff"):
        await create_audit(client, entity_id=name, action=name)
    for field in ("entity_id", "action"):

        async def values(prefix: str, field: str = field) -> list[str]:
            found: list[str] = (await read(client, VALUES, field=field, prefix=prefix))["values"]
            return found

        assert await values("100%") == ["100%"]
        assert await values("a_") == ["a_b"]
        assert await values("a\\") == ["a\\b"]
        assert await values("a*") == ["a*b"]
        assert await values("\U0010ffff") == ["\U0010ffff"]
        assert len(await values("a")) == 20


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        (HISTOGRAM, {"buckets": 0}, "buckets"),
        (HISTOGRAM, {"buckets": 121}, "buckets"),
        (HISTOGRAM, {"bucket": 1}, "bucket"),
        (HISTOGRAM, {"limit": 1}, "limit"),
        (HISTOGRAM, {"action": "*"}, "action"),
        (HISTOGRAM, {"details": "{"}, "details"),
        (FACETS, {}, "field"),
        (FACETS, {"field": "details"}, "field"),
        (FACETS, {"field": ["action", "status"]}, "field"),
        (FACETS, {"field": "action", "occurred_from": "2026"}, "occurred_from"),
        (VALUES, {"field": "occurred_at"}, "field"),
        (VALUES, {"field": "action", "prefix": "\0"}, "prefix"),
        (VALUES, {"field": "action", "prefix": "a" * 1025}, "prefix"),
        (VALUES, {"field": "action", "status": "failure"}, "status"),
    ],
)
async def test_a_query_that_is_not_valid_gets_422(
    client_of_module: httpx2.AsyncClient, path: str, query: dict[str, Any], location: str
) -> None:
    answer = await client_of_module.get(path, params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][:2] == ["query", location]


async def test_where_nothing_matches_there_are_no_buckets_but_those_of_a_given_time(client: httpx2.AsyncClient) -> None:
    nothing: dict[str, Any] = {"from": None, "to": None, "relation": "eq", "buckets": []}
    begin, end = "2026-01-31T12:00:00Z", "2026-01-31T12:03:00Z"
    assert await read(client, HISTOGRAM) == nothing
    assert await read(client, HISTOGRAM, occurred_from=begin) == nothing
    assert await read(client, HISTOGRAM, occurred_from=end, occurred_to=begin) == nothing
    body = await read(client, HISTOGRAM, occurred_from=begin, occurred_to=end, buckets=3)
    assert (body["from"], body["to"], body["relation"]) == (begin, end, "eq")
    assert [(each["count"], each["failures"], each["relation"]) for each in body["buckets"]] == [(0, 0, "eq")] * 3
    assert await read(client, FACETS, field="action") == {
        "field": "action",
        "values": [],
        "relation": "eq",
        "sampled": 0,
    }
    assert await read(client, VALUES, field="action") == {"field": "action", "values": []}


@pytest.mark.parametrize(
    ("texts", "span"),
    [
        (["0001-01-01 00:00:00Z", "2026-01-01Z", "9999-12-31 23:59:59.999999Z"], 200),
        (["9999-12-31 23:59:59.999999Z"], 1),
        (["0001-01-01 00:00:00Z"], 1),
        (["0044-03-15 12:00:00Z BC", "2026-01-01Z", "294276-12-31Z"], 200),
        (["2026-01-01 00:00:00.000001Z", "2026-01-01 00:00:00.000002Z", "2026-01-01 00:00:00.000009Z"], 9),
        (["2026-01-01Z"] * 5, 1),
    ],
)
async def test_times_of_any_year_and_times_close_together_are_counted(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, texts: list[str], span: int
) -> None:
    """`span`: microseconds, or more than there can be buckets."""
    await connection.executemany(
        """INSERT INTO audit (id, action, entity_type, entity_id, actor_id, occurred_at)
           VALUES (gen_random_uuid(), 'a', 'e', '1', 'u', $1::text::timestamptz)""",
        [(text,) for text in texts],
    )
    for buckets in (1, 2, 60, 120):
        body = await read(client, HISTOGRAM, buckets=buckets)
        assert len(body["buckets"]) == min(buckets, span)
        assert sum(each["count"] for each in body["buckets"]) == len(texts)
        assert body["buckets"][-1]["count"] > 0


@pytest.mark.parametrize("path", [HISTOGRAM, f"{FACETS}?field=action", f"{VALUES}?field=action"])
async def test_head_has_the_headers_of_get_and_nobody_keeps_the_answer(client: httpx2.AsyncClient, path: str) -> None:
    await create_audit(client)
    answers = [await client.request(method, path) for method in ("GET", "HEAD")]
    for answer in answers:
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "ETag" not in answer.headers
    assert answers[1].content == b""
    assert answers[0].headers["Content-Length"] == answers[1].headers["Content-Length"]
