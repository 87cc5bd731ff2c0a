"""Histograms and facets of more matches than are counted one by one: estimates, and how far they may be off."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from src.audits import blocks, sampling
from src.audits.buckets import to_microseconds
from src.audits.driving_filters import DrivingFilter
from src.bounded_reads import BoundedPool, BoundedReads
from src.config import AppSettings, DatabaseSettings
from src.engines import create_aggregate_pool
from src.statement import Statement
from tests.application import run_application
from tests.audits.factories import AUDITS
from tests.conftest import driver_url

HISTOGRAM, FACETS = f"{AUDITS}/histogram", f"{AUDITS}/facets"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 40_000
# Four weeks with few records at night, bursts at full hours, an import at one instant, and skewed values.
COPIED = """
    INSERT INTO audit (id, action, entity_type, entity_id, actor_type, actor_id, status, details, occurred_at)
    SELECT gen_random_uuid(), 'a.' || floor(exp(random() * ln(20)))::int, 'e.' || n % 3, 'E-' || n % 1000,
        CASE WHEN n % 10 = 3 THEN 'system' ELSE 'user' END, 'u-' || floor(exp(random() * ln(50)))::int,
        CASE WHEN random() < 0.1 THEN 'failure' ELSE 'success' END, jsonb_build_object('tenant', 't-' || n % 2),
        CASE WHEN n BETWEEN 20000 AND 22000 THEN timestamptz '2026-01-15 09:30Z'
            WHEN n / 50 % 10 = 3 THEN date_trunc('hour', at) + n % 50 * interval '3 milliseconds'
            ELSE at END
    FROM (
        SELECT n, timestamptz '2026-01-01Z' + floor(days) * interval '1 day'
            + (days - floor(days) - 0.14 * sin(2 * pi() * (days - floor(days)))) * interval '1 day' AS at
        FROM (SELECT n, n * 28.0 / $1::int AS days FROM generate_series(0, $1::int - 1) AS n) AS numbered
    ) AS placed
"""


@pytest.fixture(scope="module")
async def filled(database_of_module: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    connection = await asyncpg.connect(driver_url(database_of_module))
    await connection.execute("SELECT setseed(0.5)")
    await connection.execute(COPIED, ROWS)
    await connection.execute("VACUUM ANALYZE audit")
    await connection.close()
    async with run_application(database_of_module) as client:
        yield client


@pytest.fixture(params=["blocks", "windows"])
def cheap(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Limits that this table exceeds as a table of millions exceeds the usual ones. Either kind of sample is enough."""
    monkeypatch.setattr(sampling, "_MIN_SAMPLED_MATCHES", 1 if request.param == "blocks" else math.inf)
    monkeypatch.setattr(sampling, "_MAX_COUNTED", 2_000)
    monkeypatch.setattr(sampling, "_MAX_COUNTED_TO_SCALE", 2_000)
    monkeypatch.setattr(sampling, "_COUNTED", 10_000)
    monkeypatch.setattr(sampling, "_LOOKED_AT", 4_000)
    monkeypatch.setattr(blocks, "_BLOCKS", 200)


async def read(client: httpx2.AsyncClient, path: str, query: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "true"),
    "a value": ({"actor_type": "user"}, "actor_type = 'user'"),
    "values": ({"entity_type": ["e.0", "e.1"]}, "entity_type IN ('e.0', 'e.1')"),
    "a prefix": ({"entity_type": "e.*"}, "true"),
    "a status": ({"status": "success"}, "status = 'success'"),
    "statuses": ({"status": ["success", "failure"]}, "true"),
    "details": ({"details": '{"tenant": "t-1"}'}, 'details @> \'{"tenant": "t-1"}\''),
    "two": ({"actor_type": "user", "entity_type": "e.0"}, "actor_type = 'user' AND entity_type = 'e.0'"),
    "a time": ({"occurred_from": "2026-01-08T00:00:00Z"}, "occurred_at >= '2026-01-08Z'"),
}


async def count_buckets(
    connection: asyncpg.Connection, condition: str, body: dict[str, Any]
) -> tuple[list[int], list[int]]:
    starts = [datetime.fromisoformat(bucket["from"]) for bucket in body["buckets"]]
    rows = await connection.fetch(
        f"""SELECT width_bucket(occurred_at, $1::timestamptz[]), count(*), count(*) FILTER (WHERE status = 'failure')
            FROM audit WHERE {condition} GROUP BY 1""",
        starts,
    )
    found = {bucket - 1: (count, failures) for bucket, count, failures in rows}
    counted = [found.get(number, (0, 0)) for number in range(len(starts))]
    return [count for count, _ in counted], [failures for _, failures in counted]


def error(estimated: list[int], true: list[int]) -> float:
    """The sum of all errors, as a share of the whole."""
    return sum(abs(one - other) for one, other in zip(estimated, true, strict=True)) / max(1, sum(true))


@pytest.mark.parametrize("name", CONDITIONS)
async def test_a_single_filter_is_counted_exactly_as_far_as_an_index_alone_can(
    filled: httpx2.AsyncClient, connection_of_module: asyncpg.Connection, name: str
) -> None:
    query, condition = CONDITIONS[name]
    body = await read(filled, HISTOGRAM, query)
    counts, failures = await count_buckets(connection_of_module, condition, body)
    is_exact = name not in ("details", "two")
    assert all(bucket["relation"] == body["relation"] for bucket in body["buckets"])
    if is_exact:
        assert [bucket["count"] for bucket in body["buckets"]] == counts
    else:
        assert error([bucket["count"] for bucket in body["buckets"]], counts) < 0.15
    assert error([bucket["failures"] for bucket in body["buckets"]], failures) < 0.05


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("name", CONDITIONS)
async def test_estimates_of_bursts_are_near_the_truth_and_say_that_they_are_estimates(
    filled: httpx2.AsyncClient, connection_of_module: asyncpg.Connection, name: str
) -> None:
    query, condition = CONDITIONS[name]
    body = await read(filled, HISTOGRAM, query)
    counts, failures = await count_buckets(connection_of_module, condition, body)
    estimated = [bucket["count"] for bucket in body["buckets"]]
    assert body["relation"] == "approx"
    assert sum(estimated) == pytest.approx(sum(counts), rel=0.15)
    assert error(estimated, counts) < 0.4
    assert all(bucket["failures"] <= bucket["count"] for bucket in body["buckets"])
    assert sum(bucket["failures"] for bucket in body["buckets"]) == pytest.approx(sum(failures), rel=0.4)


async def test_exact_counts_beside_estimated_failures_are_called_an_estimate(
    filled: httpx2.AsyncClient, connection_of_module: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_LOOKED_AT", 1_000)
    monkeypatch.setattr(blocks, "_BLOCKS", 1)
    query, condition = CONDITIONS["a value"]
    body = await read(filled, HISTOGRAM, query)
    counts, failures = await count_buckets(connection_of_module, condition, body)
    assert [bucket["count"] for bucket in body["buckets"]] == counts
    assert [bucket["failures"] for bucket in body["buckets"]] != failures
    assert {body["relation"], *(bucket["relation"] for bucket in body["buckets"])} == {"approx"}


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("field", ["action", "status"])
async def test_facets_of_many_matches_are_scaled_to_all_of_them(
    filled: httpx2.AsyncClient, connection_of_module: asyncpg.Connection, name: str, field: str
) -> None:
    query, condition = CONDITIONS[name]
    body = await read(filled, FACETS, query | {"field": field})
    rows = await connection_of_module.fetch(f"SELECT {field}, count(*) FROM audit WHERE {condition} GROUP BY 1")
    true = Counter(dict(map(tuple, rows)))
    assert (body["relation"], body["field"]) == ("approx", field)
    assert 1_000 < body["sampled"] < 20_000
    estimated = {each["value"]: each["count"] for each in body["values"]}
    assert [*estimated.values()] == sorted(estimated.values(), reverse=True)
    for value, count in true.most_common(2):
        assert estimated[value] == pytest.approx(count, rel=0.35)
    again = await read(filled, FACETS, query | {"field": field})
    assert again == body


async def test_entries_are_estimated_where_nothing_is_known_of_their_number(
    filled: httpx2.AsyncClient, database_of_module: DatabaseSettings
) -> None:
    """As where a first look took too long."""
    assert (await filled.get(AUDITS, params={"limit": 1})).status_code == 200
    pool = create_aggregate_pool(database_of_module)
    reads = BoundedReads(BoundedPool(pool, 1.5))
    bounds = [to_microseconds(BEGIN), to_microseconds(BEGIN + timedelta(days=28))]
    driving = DrivingFilter(None, (), (), ())
    ((number, is_exact),) = await sampling._count_entries(reads, driving, bounds, None, 0, 1.4)  # noqa: SLF001
    assert not is_exact
    assert ROWS / 10 < number < ROWS * 10
    await reads.close()
    await pool.dispose()


async def test_the_wait_for_a_connection_takes_no_time_of_the_reads(database_of_module: DatabaseSettings) -> None:
    pool = create_aggregate_pool(database_of_module)
    first, second, third = (BoundedReads(BoundedPool(pool, 0.5)) for _ in range(3))
    one = Statement(text("SELECT 1"))
    for each in (first, second):
        await each.fetch(one)
    waiting = asyncio.create_task(third.fetch(one))
    await asyncio.wait([waiting], timeout=0.6)
    await first.close()
    assert [tuple(row) for row in await waiting] == [(1,)]
    assert third.seconds_left > 0.3
    for each in (second, third):
        await each.close()
    await pool.dispose()


async def test_thirty_at_once_take_no_place_of_a_list(
    filled: httpx2.AsyncClient, database_of_module: DatabaseSettings
) -> None:
    """Two at once are answered, and others as far as they have not waited too long."""
    impatient = database_of_module.model_copy(update={"database_pool_timeout": 0.05})
    async with run_application(impatient, AppSettings(max_in_flight=2, max_waiting=100, place_timeout=0.05)) as client:
        query = {"details": '{"tenant": "t-1"}'}
        asked = [asyncio.create_task(client.get(HISTOGRAM, params=query)) for _ in range(30)]
        lists = []
        while not all(each.done() for each in asked):
            lists.append(await client.get(AUDITS, params={"limit": 1, "count": "none"}))
        answers = await asyncio.gather(*asked)
    assert {each.status_code for each in lists} == {200}
    refused = [each for each in answers if each.status_code != 200]
    assert 1 <= len(refused) < 30
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "database-busy")
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", [HISTOGRAM, f"{FACETS}?field=action", f"{AUDITS}/values?field=action"])
async def test_what_takes_too_long_gets_503_after_its_own_time(
    database: DatabaseSettings, connection: asyncpg.Connection, path: str
) -> None:
    hurried = database.model_copy(update={"database_aggregate_timeout": 0.2})
    async with run_application(hurried) as client, connection.transaction():
        await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        answer = await client.get(path)
        assert time.monotonic() - started < hurried.database_statement_timeout
    assert (answer.status_code, answer.json()["code"]) == (503, "database-timeout")
    assert answer.headers["Retry-After"] == "1"


async def test_many_records_of_one_instant_are_one_bucket(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        """INSERT INTO audit (id, action, entity_type, entity_id, actor_id, occurred_at)
           SELECT gen_random_uuid(), 'a', 'e', '1', 'u', timestamptz '2026-01-01 12:00:00.000001Z'
           FROM generate_series(1, 12000)"""
    )
    for query in ({}, {"action": "a"}, {"action": "*a"}, {"actor_id": ["u", "v"], "buckets": 120}):
        body = await read(client, HISTOGRAM, query)
        if query == {"action": "*a"}:
            assert body["buckets"] == []
            continue
        (bucket,) = body["buckets"]
        assert bucket == {
            "from": "2026-01-01T12:00:00.000001Z",
            "to": "2026-01-01T12:00:00.000002Z",
            "count": 12_000,
            "failures": 0,
            "relation": "eq",
        }


async def test_buckets_of_microseconds_and_of_centuries_hold_many_records(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        """INSERT INTO audit (id, action, entity_type, entity_id, actor_id, occurred_at)
           SELECT gen_random_uuid(), 'a', 'e', '1', 'u', timestamptz '2026-01-01Z' + n % 50 * interval '1 microsecond'
           FROM generate_series(1, 12000) AS n"""
    )
    body = await read(client, HISTOGRAM, {"buckets": 120})
    assert [bucket["count"] for bucket in body["buckets"]] == [240] * 50
    assert datetime.fromisoformat(body["to"]) - datetime.fromisoformat(body["from"]) == timedelta(microseconds=50)
    wide = {"occurred_from": "0001-01-01T00:00:00Z", "occurred_to": "9999-12-31T23:59:59.999999Z"}
    body = await read(client, HISTOGRAM, wide)
    assert (body["from"], body["to"]) == (wide["occurred_from"], wide["occurred_to"])
    assert [bucket["count"] for bucket in body["buckets"] if bucket["count"]] == [12_000]
