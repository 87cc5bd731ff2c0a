"""An event of a producer, with its `source` and `event_id`, is recorded once."""

import asyncio
import csv
import io
import json
from datetime import datetime
from typing import Any

import asyncpg
import httpx2
import pytest

from src.audits.constants import Operation
from src.audits.revisions import Attribution, seal
from src.audits.statements import CREATE, parameters
from src.config import DatabaseSettings
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.audits.test_verify import collect_findings
from tests.outages import wait_until_blocked

BATCH = f"{AUDITS}/batch"
EVENT = {"source": "https://example.com/a", "event_id": "1"}
KEY = {"Idempotency-Key": "key 1"}


def event(number: object, **changes: Any) -> dict[str, Any]:
    return audit_body(**EVENT | {"event_id": str(number)}, **changes)


async def post_batch(client: httpx2.AsyncClient, *items: dict[str, Any], **headers: str) -> httpx2.Response:
    return await client.post(BATCH, json={"items": items}, headers=headers)


async def counts(connection: asyncpg.Connection) -> tuple[int, ...]:
    tables = ("audit", "audit_revision", "audit_event")
    return tuple([await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


def locations(response: httpx2.Response) -> list[list[str | int]]:
    assert (response.status_code, response.json()["code"]) == (409, "event-already-recorded")
    return [error["loc"] for error in response.json()["errors"]]


async def test_a_repeat_gets_200_and_the_record_as_it_was_created(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    first = await client.post(AUDITS, json=event(1))
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
    assert first.json() | EVENT == first.json()
    second = await client.post(AUDITS, json=event(1))
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (200, "true")
    for name in ("Location", "ETag"):
        assert second.headers[name] == first.headers[name]
    assert second.content == first.content
    assert await counts(connection) == (1, 1, 1)


async def test_a_repeat_gets_the_first_version_after_a_change_and_after_the_removal(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, database: DatabaseSettings
) -> None:
    body = event(1, details={"a": 1e308, "b": 6.677e16, "c": -0.0, "ä": [None, True, 2**70]})
    first = await client.post(AUDITS, json=body)
    await client.patch(first.headers["Location"], json={"details": {}, "status": "failure"})
    assert (await client.post(AUDITS, json=body)).content == first.content
    await client.delete(first.headers["Location"])
    assert (await client.post(AUDITS, json=body)).content == first.content
    assert (await post_batch(client, body)).json() == {"items": [first.json()], "count": 1, "created": 0}
    assert await counts(connection) == (0, 3, 1)
    assert await collect_findings(database) == []


TIME = {"occurred_at": "2026-01-31T12:00:00Z"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"actor_type": "user", "status": "success", "details": {}, "correlation_id": None}),
        (TIME, {}),
        (TIME, {"occurred_at": "2026-01-31T13:00:00.0000001+01:00"}),
        ({"details": {"a": 1, "b": 1e3}}, {"details": {"b": 1000, "a": 1.0}}),
    ],
)
async def test_the_same_content_in_another_form_is_a_repeat(
    client: httpx2.AsyncClient, first: dict[str, Any], second: dict[str, Any]
) -> None:
    created = await client.post(AUDITS, json=event(1, **first))
    answer = await client.post(AUDITS, json=event(1, **second))
    assert (answer.status_code, answer.content) == (200, created.content)


async def test_the_time_that_the_service_gave_is_the_same_content(client: httpx2.AsyncClient) -> None:
    created = await client.post(AUDITS, json=event(1))
    answer = await client.post(AUDITS, json=event(1, occurred_at=created.json()["occurred_at"]))
    assert (answer.status_code, answer.content) == (200, created.content)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "invoice.void"}, {"entity_id": "INV-2"}, {"status": "failure"}, {"details": {"a": 1}},
        {"correlation_id": "c"}, {"occurred_at": "2026-01-31T12:00:00.000001Z"},
    ],
    ids=str,
)  # fmt: skip
async def test_another_content_gets_409_and_writes_nothing(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, changes: dict[str, Any]
) -> None:
    await create_audit(client, **EVENT, **TIME)
    before = await counts(connection)
    assert locations(await client.post(AUDITS, json=event(1, **TIME | changes))) == [["body"]]
    answer = await post_batch(client, event(2), event(1), event(1, **changes), audit_body())
    assert locations(answer) == [["body", "items", 2]]
    assert await counts(connection) == before


async def test_events_differ_by_source_and_by_id(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    for source, event_id in (("a", "1"), ("b", "1"), ("a", "2"), ("A", "1"), ("a", "1\u00a0"), ("é" * 256, "😀" * 256)):
        await create_audit(client, source=source, event_id=event_id)
    assert (await counts(connection))[2] == 6


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "a"}, {"event_id": "1"}, {"source": "a", "event_id": None}, {"source": "", "event_id": "1"},
        {"source": "a" * 257, "event_id": "1"}, {"source": "a", "event_id": "1" * 257},
        {"source": "a\n", "event_id": "1"}, {"source": "a", "event_id": 1},
    ],
    ids=str,
)  # fmt: skip
async def test_half_an_event_or_one_outside_its_limits_gets_422(
    client_of_module: httpx2.AsyncClient, fields: dict[str, Any]
) -> None:
    assert (await client_of_module.post(AUDITS, json=audit_body(**fields))).status_code == 422
    batch = await post_batch(client_of_module, audit_body(), audit_body(**fields))
    assert [error["loc"][:3] for error in batch.json()["errors"]] == [["body", "items", 1]]


async def test_null_for_both_is_no_event(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    for _ in range(2):
        await create_audit(client, source=None, event_id=None)
    assert await counts(connection) == (2, 2, 0)


async def test_a_batch_creates_what_is_new_and_shows_what_is_known(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    known = await create_audit(client, **EVENT)
    answer = await post_batch(client, event(2), event(1), audit_body(), event(2), event(1, status="success"))
    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (201, False)
    body = answer.json()
    assert (body["count"], body["created"]) == (5, 2)
    assert [item["event_id"] for item in body["items"]] == ["2", "1", None, "2", "1"]
    assert body["items"][1] == body["items"][4] == known
    assert body["items"][0] == body["items"][3]
    assert await counts(connection) == (3, 3, 2)
    again = await post_batch(client, event(1), event(2))
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json() == {"items": [known, body["items"][0]], "count": 2, "created": 0}


async def test_two_contents_of_one_event_in_a_batch_get_409_and_nothing_is_written(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    answer = await post_batch(client, event(1), event(2), event(1, status="failure"), event(2), event(2, **TIME))
    assert locations(answer) == [["body", "items", 2], ["body", "items", 4]]
    assert await counts(connection) == (0, 0, 0)


async def test_a_batch_that_postgresql_refuses_leaves_its_events_new(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    answer = await post_batch(client, event(1), event(2, details={"a": [1e308] * 250}))
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "items", 1, "details"])
    assert await counts(connection) == (0, 0, 0)
    await create_audit(client, **EVENT)


async def test_a_key_is_looked_at_before_the_events(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    first = await client.post(AUDITS, json=event(1), headers=KEY)
    replayed = await client.post(AUDITS, json=event(1), headers=KEY)
    assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (201, "true")
    assert replayed.content == first.content
    reused = await client.post(AUDITS, json=event(1, status="failure"), headers=KEY)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency-key-reused")
    assert await counts(connection) == (1, 1, 1)


async def test_a_key_replays_an_answer_that_was_itself_a_repeat(client: httpx2.AsyncClient) -> None:
    await create_audit(client, **EVENT)
    answers = [await client.post(AUDITS, json=event(1), headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    batches = [await post_batch(client, event(2), event(1), event(2), **KEY) for _ in range(3)]
    assert [answer.status_code for answer in batches] == [201] * 3
    assert len({answer.content for answer in batches}) == 1
    assert (batches[2].json()["count"], batches[2].json()["created"]) == (3, 1)
    assert ["Idempotency-Replayed" in answer.headers for answer in batches] == [False, True, True]


async def test_a_conflict_does_not_use_the_key(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    await create_audit(client, **EVENT)
    for items in ([event(1, status="failure")], [event(2), event(2, status="failure")]):
        assert locations(await post_batch(client, *items, **KEY))
    assert await connection.fetchval("SELECT count(*) FROM audit_idempotency_key") == 0
    assert (await post_batch(client, event(2), **KEY)).status_code == 201


@pytest.mark.parametrize("keyed", [False, True])
async def test_16_writers_of_the_same_events_record_each_once(
    database: DatabaseSettings, connection: asyncpg.Connection, keyed: bool
) -> None:
    """From two applications, each with events of its own among them, in different orders."""
    async with run_application(database) as one, run_application(database) as other:

        async def write(number: int) -> httpx2.Response:
            items = [event(shared) for shared in range(30)] + [event(f"own {number}")]
            items = items[number:] + items[:number]
            headers = {"Idempotency-Key": str(number)} if keyed else {}
            return await post_batch((one, other)[number % 2], *(items if number % 3 else items[::-1]), **headers)

        for _ in range(2):
            answers = await asyncio.gather(*(write(number) for number in range(16)))
            assert {answer.status_code for answer in answers} <= {200, 201}
            assert await counts(connection) == (46, 46, 46)
    shown = {item["event_id"]: item for answer in answers for item in answer.json()["items"]}
    assert all(item == shown[item["event_id"]] for answer in answers for item in answer.json()["items"])
    assert await collect_findings(database) == []


async def test_16_writers_of_one_event_with_two_contents_record_one_of_them(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    for number in range(5):
        bodies = [event(number, status=("success", "failure")[writer % 2]) for writer in range(16)]
        answers = await asyncio.gather(*(client.post(AUDITS, json=body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201, *[409] * 8]
        assert (await counts(connection))[0] == number + 1


async def test_a_conflict_that_appears_while_a_batch_is_written_leaves_nothing_of_it(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    """The batch waits for another writer of its second event, which it cannot see."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO audit_event VALUES ($1, '2', gen_random_uuid())", EVENT["source"])
    writing = asyncio.create_task(post_batch(client, event(1), event(2)))
    await wait_until_blocked(connection)
    await transaction.commit()
    answer = await writing
    # That writer left no record, so nobody can say whether the content is the same.
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await counts(connection) == (0, 0, 1)


async def test_batches_with_the_same_events_in_other_orders_do_not_deadlock(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    """Both stop at event 3. If each wrote its first event before, then neither could go on."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO audit_event VALUES ($1, '3', gen_random_uuid())", EVENT["source"])
    writing = []
    for numbers in ((1, 3, 2), (2, 3, 1)):
        writing.append(asyncio.create_task(post_batch(client, *map(event, numbers))))
        async with asyncio.timeout(10):
            while not await connection.fetchval("SELECT count(*) = $1 FROM pg_locks WHERE NOT granted", len(writing)):
                await connection.execute("SELECT pg_sleep(0.01)")
    await transaction.rollback()
    answers = await asyncio.gather(*writing)
    assert sorted((answer.status_code, answer.json()["created"]) for answer in answers) == [(200, 0), (201, 3)]
    assert await counts(connection) == (3, 3, 3)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_keeps_the_event_and_cannot_name_it(client: httpx2.AsyncClient, method: str) -> None:
    record = await create_audit(client, **EVENT)
    url = f"{AUDITS}/{record['id']}"
    body = audit_body(**TIME, status="failure")
    for field in EVENT:
        refused = await client.request(method, url, json=body | {field: EVENT[field]})
        assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["body", field])
    changed = (await client.request(method, url, json=body)).json()
    assert (changed["version"], changed["source"], changed["event_id"]) == (2, EVENT["source"], "1")
    revisions = (await client.get(f"{url}/history")).json()["items"]
    assert [revision["record"] | EVENT for revision in revisions] == [changed, record]


async def test_events_are_filters_of_lists_and_exports(client: httpx2.AsyncClient) -> None:
    for source, event_id in (("a", "1"), ("a", "2"), ("b", "1"), (None, None)):
        await create_audit(client, source=source, event_id=event_id)
    for query, expected in (
        ({"source": "a"}, [("a", "2"), ("a", "1")]),
        ({"event_id": "1"}, [("b", "1"), ("a", "1")]),
        ({"source": "a", "event_id": "1"}, [("a", "1")]),
        ({"source": "c"}, []),
    ):
        page = (await client.get(AUDITS, params=query)).json()
        assert [(item["source"], item["event_id"]) for item in page["items"]] == expected
        exported = await client.get(f"{AUDITS}/export", params=query | {"format": "csv"})
        rows = csv.DictReader(io.StringIO(exported.text, newline=""))
        assert [(row["source"], row["event_id"]) for row in rows] == expected
        exported = await client.get(f"{AUDITS}/export", params=query)
        assert [json.loads(line) for line in exported.text.splitlines()] == page["items"]
    assert (await client.get(AUDITS, params={"source": ""})).status_code == 422


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET event_id = '2'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_the_database_refuses_to_change_events(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, statement: str, role: str
) -> None:
    await create_audit(client, **EVENT)
    await connection.execute(f"SET session_replication_role = {role}")
    with pytest.raises(asyncpg.RestrictViolationError, match="audit_event is append-only"):
        await connection.execute(statement)
    assert (await counts(connection))[2] == 1


async def test_a_trail_from_before_events_verifies_and_shows_what_was_hashed(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, database_settings: DatabaseSettings
) -> None:
    """Its snapshots do not have the members."""
    record = await create_audit(client)
    await connection.execute("ALTER TABLE audit_revision DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM audit_revision; DELETE FROM audit")
    old = {name: value for name, value in record.items() if name not in EVENT}
    await insert_old_record(connection, old)
    assert await collect_findings(database_settings) == []
    url = f"{AUDITS}/{record['id']}"
    assert (await client.get(url)).json() == record
    (revision,) = (await client.get(f"{url}/history")).json()["items"]
    assert revision["record"] == old
    await client.patch(url, json={"status": "failure"})
    await client.delete(url)
    assert await collect_findings(database_settings) == []


async def insert_old_record(connection: asyncpg.Connection, record: dict[str, Any]) -> None:
    now = datetime.fromisoformat(record["recorded_at"])
    revision = seal(record, Operation.CREATE, Attribution(), now, None)
    await connection.fetch(CREATE.sql, *CREATE.arguments(parameters([revision])))
