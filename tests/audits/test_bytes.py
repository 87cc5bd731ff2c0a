"""One writer for all answers: a version has the same bytes in each, as its strong ETag promises (RFC 9110, 8.8.1)."""

import json
from typing import Any

import asyncpg
import httpx2
import pytest

from src.audits.schemas import Audit
from src.audits.statements import GET
from tests.audits.factories import AUDITS, audit_body, create_audit

DETAILS: dict[str, dict[str, Any]] = {
    "empty": {},
    "large": {"n": [1e308, -1e308, 6.677e16, 1e23, 2**53, 2**63, -(2**63), 2**64, 2**70]},
    "small": {"n": [-0.0, 0.0, 5e-324, 1e-7, 0.1, 100.0, 1.5]},
    "text": {"ключ": 'a "quoted": b, c', "": "\\ \t \u2028 \U0001f9fe \u007f", "b": ["", "null", "{}", ": ", ", "]},
    "lists": {"a": [[], [[]], [[1, [2, [3, {}]]]], {}, [None, True, False]], "b": {"c": {"d": {"e": {}}}}},
    "deep": json.loads('{"a":' * 31 + "{}" + "}" * 31),
    "order": {"bb": 1, "a": 2, "c": 3, "aa": 4},
}
TIMES = ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.250000Z", "2026-01-31T12:00:00.000001+02:00"]


async def _read(client: httpx2.AsyncClient, url: str) -> bytes:
    response = await client.get(url)
    assert response.status_code == 200
    return response.content


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("kind", DETAILS)
async def test_a_version_has_the_same_bytes_by_post_get_put_patch_list_and_replay(
    client_of_module: httpx2.AsyncClient, kind: str, time: str
) -> None:
    client = client_of_module
    name = f"{kind} {time}"
    body = audit_body(details=DETAILS[kind], occurred_at=time, entity_id='INV "1": %s, ü', correlation_id=name)
    event = {"source": 'a "b" %s ü', "event_id": name}
    key = {"Idempotency-Key": name}
    created = await client.post(AUDITS, json=body | event, headers=key)
    assert (created.status_code, created.headers["ETag"]) == (201, '"1"')
    url = created.headers["Location"]
    assert created.content == await _read(client, url)
    listed = await client.get(AUDITS, params={"correlation_id": body["correlation_id"]})
    assert listed.content.startswith(b'{"items":[' + created.content + b'],"limit":20,')
    replaced = await client.put(url, json=body)
    assert replaced.content == await _read(client, url)
    patched = await client.patch(url, json={"details": DETAILS[kind]})
    assert patched.content == await _read(client, url)
    for headers in (key, {}):
        replayed = await client.post(AUDITS, json=body | event, headers=headers)
        assert (replayed.headers["Idempotency-Replayed"], replayed.content) == ("true", created.content)
    # And what differs between the versions is the version, and when it was made.
    versions = [json.loads(answer.content) for answer in (created, replaced, patched)]
    assert [version["version"] for version in versions] == [1, 2, 3]
    texts = []
    for answer, version in zip((created, replaced, patched), versions, strict=True):
        text = answer.text.replace(f'"updated_at":"{version["updated_at"]}"', "")
        texts.append(text.replace(f'"version":{version["version"]}', ""))
    assert texts[0] == texts[1] == texts[2]
    assert json.loads(created.content, parse_int=float)["details"] == DETAILS[kind]


@pytest.mark.parametrize("time", TIMES)
async def test_outside_of_details_the_bytes_are_those_of_the_model(
    client_of_module: httpx2.AsyncClient, time: str
) -> None:
    changes = {"entity_id": 'a "b": c, d \\ \u2028 ü %s', "details": {"n": 1}, "occurred_at": time}
    for correlation_id in (None, "c-1"):
        body = audit_body(**changes, correlation_id=correlation_id)
        created = await client_of_module.post(AUDITS, json=body)
        model = Audit.model_validate_json(created.content).model_dump_json()
        assert created.text == model.replace('{"n":1}', '{"n": 1}')


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"1e-7", b"0.0000001"),
        (b"1e-18", b"1e-18"),
        (b"1E+2", b"100.0"),
        (b"0.10000000000000001", b"0.1"),
        (b"-0.0", b"0.0"),
        (b"0e400", b"0.0"),
        (b"1152921504606846976", b"1152921504606846976"),
        (b"1152921504606847000", b"1152921504606847000"),
        (b"9223372036854775808", b"9.223372036854776e+18"),
        (b"100000000000000000000000", b"1e+23"),
    ],
)
async def test_numbers_are_answered_as_the_guide_for_clients_says(
    client_of_module: httpx2.AsyncClient, sent: bytes, answered: bytes
) -> None:
    content = json.dumps(audit_body(details={"n": "?"})).encode().replace(b'"?"', sent)
    created = await client_of_module.post(AUDITS, content=content, headers={"Content-Type": "application/json"})
    assert b'"details":{"n": %s},' % answered in created.content


async def test_a_batch_has_the_bytes_of_its_records_in_the_order_in_which_they_were_sent(
    client_of_module: httpx2.AsyncClient,
) -> None:
    items = [audit_body(details={"n": [number, 2**63]}) for number in range(20)]
    batch = await client_of_module.post(f"{AUDITS}/batch", json={"items": items})
    ids = [item["id"] for item in batch.json()["items"]]
    records = [await _read(client_of_module, f"{AUDITS}/{audit_id}") for audit_id in ids]
    assert batch.content == b'{"items":[' + b",".join(records) + b'],"count":20,"created":20}'
    assert [item["details"]["n"][0] for item in batch.json()["items"]] == list(range(20))


async def test_times_are_utc_in_a_session_of_any_time_zone(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    """Behind a pooler, the session may have another time zone than the service asked for."""
    record = await create_audit(client, occurred_at="2026-01-31T23:30:00Z")
    await connection.execute("SET timezone = 'Asia/Kathmandu'")
    assert json.loads(await connection.fetchval(GET.sql, record["id"])) == record


async def test_a_row_that_the_model_refuses_is_not_sent(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client)
    await connection.execute("UPDATE audit SET recorded_at = '20000-01-01'")
    for path in (f"{AUDITS}/{record['id']}", AUDITS):
        response = await client.get(path)
        assert (response.status_code, response.headers["Content-Type"]) == (503, "application/problem+json")
