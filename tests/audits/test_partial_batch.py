"""Partial batches: each item that is valid is recorded, and each other item gets its own problem."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body
from tests.audits.test_batch import batch, total

BATCH = f"{AUDITS}/batch"
PARTIAL = f"{BATCH}?mode=partial"
KEY = {"Idempotency-Key": "key 1"}
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}

# Texts that `POST /audits` refuses, each for another reason.
BAD: dict[str, bytes] = {
    "a value": json.dumps(audit_body(status="nope", entity_id="")).encode(),
    "missing": b"{}",
    "unknown": json.dumps(audit_body(unknown=1)).encode(),
    "30 unknown": json.dumps(audit_body(**{f"unknown{n}": 1 for n in range(30)})).encode(),
    "1001 unknown": json.dumps(audit_body(**{f"unknown{n}": 1 for n in range(1001)})).encode(),
    "a long name": json.dumps(audit_body(**{"u" * 500: 1})).encode(),
    "no object": b"[]",
    "a number": b"1",
    "a text": b'"a"',
    "null": b"null",
    "NUL": json.dumps(audit_body(entity_id="a\0")).encode(),
    "NUL in a name": json.dumps(audit_body(details={"\0": 1})).encode(),
    "a surrogate": b'{"action": "\\ud800", "entity_id": "a"}',
    "surrogates": b'{"action": "\\udc00\\ud800"}',
    "NaN": b'{"details": {"a": NaN}}',
    "a large number": b'{"details": {"a": 1e400}}',
    "an integer": b'{"details": {"a": 9007199254740993}}',
    "a long integer": b'{"details": {"a": ' + b"9" * 5000 + b"}}",
    "a long fraction": b'{"details": {"a": 12345678901234567.89}}',
    "an underflow": b'{"details": {"a": 1e-400}}',
    "a repeated name": b'{"action": "a", "action": "b"}',
    "depth": b'{"details": ' + b'{"a": ' * 40 + b"1" + b"}" * 41,
    "more depth": b'{"details": ' + b'{"a": ' * 900 + b"1" + b"}" * 901,
    "most depth": b'{"a": ["]", "\\"[", ' + b"[" * 20_000 + b"]" * 20_000 + b"]}",
    "size": json.dumps(audit_body(details={"a": "b" * 66_000})).encode(),
    "size in PostgreSQL": json.dumps(audit_body(details={"a": [1e308] * 250})).encode(),
    "before 1970": json.dumps(audit_body(occurred_at="1969-12-31T23:59:59Z")).encode(),
}
# Texts that are no JSON: a line of NDJSON may be, an item of a JSON object may not.
NO_JSON: dict[str, bytes] = {
    "cut": b'{"action": "a"',
    "no text": b"{'a': 1}",
    "a comma": b"{},",
    "no UTF-8": b'{"a": "\xff"}',
    "two": b"{}{}",
}


def good(number: int) -> bytes:
    return json.dumps(audit_body(entity_id=f"good {number}")).encode()


async def send(
    client: httpx2.AsyncClient, items: list[bytes], headers: dict[str, str] | None = None, *, is_lines: bool = False
) -> httpx2.Response:
    if is_lines:
        return await client.post(PARTIAL, content=b"\n".join(items), headers=LINES | (headers or {}))
    content = b'{"items": [' + b", ".join(items) + b"]}"
    return await client.post(PARTIAL, content=content, headers=JSON | (headers or {}))


def problem_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What is the same in the problem of an item and in that of a request."""
    return {name: value for name, value in answer.items() if name not in ("instance", "request_id")}


async def check_outcomes(client: httpx2.AsyncClient, bad: dict[str, bytes], *, is_lines: bool) -> httpx2.Response:
    """Send the bad items among good ones, and compare each problem with that of a request with this item only."""
    texts = [text for number, item in enumerate(bad.values()) for text in (good(number), item)]
    response = await send(client, texts, is_lines=is_lines)
    assert response.status_code == 207, response.text[:500]
    body = response.json()
    assert (body["count"], body["created"], body["refused"]) == (len(texts), len(bad), len(bad))
    for number, recorded in enumerate(body["items"][::2]):
        assert (recorded["status"], recorded["created"]) == (201, True)
        assert recorded["record"]["entity_id"] == f"good {number}"
        found = await client.get(f"{AUDITS}/{recorded['record']['id']}")
        assert found.json() == recorded["record"]
    for (name, text), refused in zip(bad.items(), body["items"][1::2], strict=True):
        alone = await client.post(AUDITS, content=text, headers=JSON)
        assert refused["status"] == alone.status_code == refused["problem"]["status"], name
        assert problem_of(refused["problem"]) == problem_of(alone.json()), name
        assert refused["problem"]["instance"] == BATCH
        assert refused["problem"]["request_id"] == response.headers["X-Request-ID"]
    return response


@pytest.mark.parametrize("is_lines", [False, True], ids=["JSON", "NDJSON"])
async def test_each_bad_item_has_the_problem_of_a_single_create_and_all_others_are_recorded(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, is_lines: bool
) -> None:
    bad = BAD | NO_JSON if is_lines else BAD
    await check_outcomes(client, bad, is_lines=is_lines)
    assert await total(connection) == (len(bad), len(bad))


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_json_item_is_refused_whatever_the_others_are(
    client_of_module: httpx2.AsyncClient, name: str
) -> None:
    await check_outcomes(client_of_module, {name: BAD[name]}, is_lines=False)


@pytest.mark.parametrize("text", NO_JSON.values(), ids=[*NO_JSON])
async def test_a_body_that_is_not_json_is_refused_as_a_whole(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, text: bytes
) -> None:
    response = await send(client, [good(1), text, good(2), BAD["a surrogate"]])
    assert (response.status_code, response.json()["code"]) == (400, "malformed-json")
    assert await total(connection) == (0, 0)


@pytest.mark.parametrize("count", [1, 2, 1000])
async def test_a_batch_of_good_items_is_all_recorded(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, count: int
) -> None:
    headers = {"X-Actor-Id": "importer"}
    response = await client.post(PARTIAL, json={"items": batch(count)}, headers=headers)
    body = response.json()
    assert (response.status_code, body["count"], body["created"], body["refused"]) == (207, count, count, 0)
    assert [item["record"]["entity_id"] for item in body["items"]] == [str(number) for number in range(count)]
    assert await total(connection) == (count, count)
    (revision,) = (await client.get(f"{AUDITS}/{body['items'][0]['record']['id']}/history")).json()["items"]
    assert revision["changed_by"] == "importer"


@pytest.mark.parametrize("headers", [{}, KEY])
async def test_a_batch_of_bad_items_records_nothing(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, headers: dict[str, str]
) -> None:
    for items in ([BAD["missing"]], [BAD["size in PostgreSQL"]] * 3):
        response = await send(client, items, {name: value + str(len(items)) for name, value in headers.items()})
        body = response.json()
        assert (response.status_code, body["created"], body["refused"]) == (207, 0, len(items))
    assert await total(connection) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        {}, [], None, 1, {"items": []}, {"items": None}, {"items": {}}, {"items": [audit_body()], "extra": 1},
        {"items": [audit_body()] * 1001}, {"items": [{}] * 1001}, {"items": [None] * 1001},
    ],
)  # fmt: skip
async def test_what_is_no_batch_is_refused_as_a_whole_and_as_without_the_mode(
    client_of_module: httpx2.AsyncClient, body: Any
) -> None:
    content = json.dumps(body)
    answer = await client_of_module.post(PARTIAL, content=content, headers=JSON)
    assert answer.status_code == 422
    if body not in ({"items": [{}] * 1001}, {"items": [None] * 1001}):
        atomic = await client_of_module.post(BATCH, content=content, headers=JSON)
        assert problem_of(answer.json()) == problem_of(atomic.json())
    assert answer.json()["errors"][0]["loc"][:2] in (["body"], ["body", "items"], ["body", "extra"])


@pytest.mark.parametrize("size", [0, 1001])
async def test_ndjson_without_records_or_with_more_than_1000_is_refused_as_a_whole(
    client_of_module: httpx2.AsyncClient, size: int
) -> None:
    response = await send(client_of_module, [good(1)] * size, is_lines=True)
    assert (response.status_code, response.json()["code"]) == (422, "validation-error")


@pytest.mark.parametrize("query", ["mode=all", "mode=", "mode=PARTIAL", "mode=partial&mode=partial", "mode[]=partial"])
async def test_another_mode_gets_422(client_of_module: httpx2.AsyncClient, query: str) -> None:
    response = await client_of_module.post(f"{BATCH}?{query}", json={"items": [audit_body(), {}]})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"][0] == "query"


async def test_the_default_is_all_or_nothing(client: httpx2.AsyncClient, connection: asyncpg.Connection) -> None:
    for url in (BATCH, f"{BATCH}?mode=atomic"):
        assert (await client.post(url, json={"items": [audit_body(), {}]})).status_code == 422
        assert await total(connection) == (0, 0)
    assert (await client.post(f"{BATCH}?mode=atomic", json={"items": [audit_body()]})).status_code == 201


@pytest.mark.parametrize("is_lines", [False, True], ids=["JSON", "NDJSON"])
@pytest.mark.parametrize("goods", [0, 2])
async def test_a_retry_with_its_key_gets_the_same_answer(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, is_lines: bool, goods: int
) -> None:
    items = [*map(good, range(goods)), *BAD.values()]
    first = await send(client, items, KEY, is_lines=is_lines)
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (207, False)
    for item in first.json()["items"][:goods]:
        await client.delete(f"{AUDITS}/{item['record']['id']}")
    for form in (is_lines, not is_lines):
        again = await send(client, items, KEY, is_lines=form)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (207, "true")
        assert again.content == first.content
    assert (await total(connection))[1] == 2 * goods


async def test_a_retry_gets_the_first_problem_of_an_item_that_would_be_valid_by_then(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = json.dumps(audit_body(occurred_at=(datetime.now(UTC) + timedelta(minutes=6)).isoformat())).encode()
    first = await send(client, [good(1), ahead], KEY)
    assert [item["status"] for item in first.json()["items"]] == [201, 422]
    monkeypatch.setattr("src.clock.now", lambda: datetime.now(UTC) + timedelta(minutes=2))
    again = await send(client, [good(1), ahead], KEY)
    assert again.content == first.content
    assert await total(connection) == (1, 1)
    fresh = await send(client, [ahead])
    assert fresh.json()["created"] == 1


@pytest.mark.parametrize(
    "other",
    [
        [good(1), b"{}"], [BAD["a surrogate"], good(1)], [good(1), BAD["surrogates"]], [good(1)], [good(2), BAD["NaN"]],
    ],
)  # fmt: skip
async def test_another_payload_with_the_same_key_gets_422(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, other: list[bytes]
) -> None:
    await send(client, [good(1), BAD["a surrogate"]], KEY)
    response = await send(client, other, KEY)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")
    assert await total(connection) == (1, 1)


@pytest.mark.parametrize(("first", "second"), [(BATCH, PARTIAL), (PARTIAL, BATCH)])
async def test_a_key_belongs_to_its_mode(client: httpx2.AsyncClient, first: str, second: str) -> None:
    assert (await client.post(first, json={"items": batch(2)}, headers=KEY)).is_success
    response = await client.post(second, json={"items": batch(2)}, headers=KEY)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")


async def test_30_concurrent_requests_with_one_key_record_once_and_get_one_answer(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    items = [good(1), BAD["NUL"], good(2), BAD["missing"]]
    answers = await asyncio.gather(*(send(client, items, KEY) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {207}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert await total(connection) == (2, 2)


@pytest.mark.usefixtures("database_settings")
async def test_an_outage_gets_503_and_nothing_is_written(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.entity_id = 'good 2' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER break BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION break()"
    )
    items = [good(1), good(2), good(3), b"{}"]
    response = await send(client, items, KEY)
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert await total(connection) == (0, 0)
    await connection.execute("DROP TRIGGER break ON audit")
    assert [item["status"] for item in (await send(client, items, KEY)).json()["items"]] == [201, 201, 201, 422]


async def test_a_partial_batch_may_be_gzip(client_of_module: httpx2.AsyncClient) -> None:
    content = gzip.compress(b"\n".join([good(1), b"{", good(2)]))
    response = await client_of_module.post(PARTIAL, content=content, headers=LINES | {"Content-Encoding": "gzip"})
    assert [item["status"] for item in response.json()["items"]] == [201, 400, 201]


def event(number: int, **changes: Any) -> bytes:
    return json.dumps(audit_body(source="s", event_id=f"e {number}", **changes)).encode()


def found(response: httpx2.Response) -> list[tuple[int, Any, Any]]:
    """Of each item: its status, whether it is new, and the id of its record or the code of its problem."""
    assert response.status_code == 207, response.text
    return [
        (item["status"], item.get("created"), item["record"]["id"] if "record" in item else item["problem"]["code"])
        for item in response.json()["items"]
    ]


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
async def test_an_event_that_was_recorded_is_its_first_record_or_a_conflict(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, headers: dict[str, str]
) -> None:
    known = (await client.post(AUDITS, content=event(1), headers=JSON)).json()
    items = [event(1), event(1, status="failure"), event(2), event(2), event(2, status="failure"), b"{}", event(3)]
    response = await send(client, items, headers)
    answers = found(response)
    conflict = (409, None, "event-already-recorded")
    new, other = answers[2][2], answers[6][2]
    assert answers == [
        (200, False, known["id"]), conflict, (201, True, new), (200, False, new), conflict,
        (422, None, "validation-error"), (201, True, other),
    ]  # fmt: skip
    body = response.json()
    assert (body["count"], body["created"], body["refused"]) == (7, 2, 3)
    assert body["items"][0]["record"] == known
    assert await total(connection) == (3, 3)
    for text, item in ((items[1], body["items"][1]), (items[4], body["items"][4])):
        alone = await client.post(AUDITS, content=text, headers=JSON)
        assert alone.status_code == 409
        assert problem_of(item["problem"]) == problem_of(alone.json())
    again = await send(client, items, headers)
    if headers:
        assert (again.content, again.headers["Idempotency-Replayed"]) == (response.content, "true")
    else:
        assert [item[:2] for item in found(again)] == [
            (200, False), (409, None), (200, False), (200, False), (409, None), (422, None), (200, False),
        ]  # fmt: skip
    assert await total(connection) == (3, 3)


async def test_within_a_batch_what_was_recorded_before_decides_which_item_is_a_repeat(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    known = (await client.post(AUDITS, content=event(1, status="pending"), headers=JSON)).json()["id"]
    conflict = (409, None, "event-already-recorded")
    items = [event(1), event(1, status="pending"), event(1)]
    assert found(await send(client, items)) == [conflict, (200, False, known), conflict]
    assert found(await send(client, items, KEY)) == [conflict, (200, False, known), conflict]
    assert await total(connection) == (1, 1)


@pytest.mark.parametrize("headers", [{}, KEY], ids=["no key", "key"])
async def test_an_item_that_is_too_large_makes_no_conflict_of_a_later_one(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, headers: dict[str, str]
) -> None:
    large = event(1, details={"a": [1e308] * 250})
    response = await send(client, [large, event(1), large, event(1), event(2)], headers)
    answers = found(response)
    refused = (422, None, "validation-error")
    new = answers[1][2]
    assert answers[:2] == [refused, (201, True, new)]
    # By then the event belongs to the second item.
    assert answers[2] in (refused, (409, None, "event-already-recorded"))
    assert [answer[:2] for answer in answers[3:]] == [(200, False), (201, True)]
    assert await total(connection) == (2, 2)


async def test_16_concurrent_partial_batches_record_each_event_once(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    items = [text for number in range(20) for text in (event(number), b"{}")]
    answers = await asyncio.gather(*(send(client, items[shift:] + items[:shift]) for shift in range(0, 32, 2)))
    assert {answer.status_code for answer in answers} == {207}
    assert sum(answer.json()["created"] for answer in answers) == 20
    assert {answer.json()["refused"] for answer in answers} == {20}
    assert await total(connection) == (20, 20)
