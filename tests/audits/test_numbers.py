"""Numbers of `details`: what is answered is accepted and found again, and nothing is rounded."""

import json
import math
import random
import re
import struct
from typing import Any

import httpx2
import pytest

from src.config import DatabaseSettings
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.audits.test_verify import collect_findings

JSON_BODY = {"Content-Type": "application/json"}
# As Python and as JavaScript write 2^60, and a number from 2^63 in each of its texts.
TEXTS = [
    ["1152921504606846976", "1152921504606847000", "1.152921504606847e18", "1.152921504606846976e+18"],
    ["100000000000000000000000", "99999999999999991611392", "1e23", "1E+23", "1e+23"],
    ["-9223372036854775808", "-9223372036854776000", "-9.223372036854776e+18"],
    ["0.1", "0.10", "1e-1", "0.1000000000000000055511151231257827021181583404541015625"],
]


def _body(details: str) -> bytes:
    return json.dumps(audit_body(details=None)).replace("null", details).encode()


async def _create(client: httpx2.AsyncClient, details: str) -> httpx2.Response:
    return await client.post(AUDITS, content=_body(details), headers=JSON_BODY)


def _doubles(count: int) -> list[float]:
    bits = random.Random(23).randbytes(8 * count)
    return [number for number in struct.unpack(f"<{count}d", bits) if math.isfinite(number)]


def _with_long_integers(text: str) -> list[str]:
    """The integers from 2^63 among the numbers of a JSON text."""
    found: list[str] = []
    json.loads(text, parse_int=found.append)
    return [number for number in found if abs(int(number)) >= 2**63]


async def test_what_is_answered_is_accepted_again_and_is_the_same_value(
    client: httpx2.AsyncClient, database: DatabaseSettings
) -> None:
    numbers = [*_doubles(150), 2.0**60, 2.0**63, 1e23, -1e23, 5e-324, 1.7976931348623157e308, 1e-7, 1e-17, 1e-18]
    created = await _create(client, json.dumps({"n": numbers, "s": "12345678901234567890123, 1"}))
    assert created.status_code == 201
    url = created.headers["Location"]
    details = re.search(r'"details":(\{.*?\}),', created.text)
    assert details is not None
    for method in (client.put, client.patch):
        answer = await method(
            url, content=_body(details[1])[:-1] + b',"occurred_at":"2026-01-01T00:00:00Z"}', headers=JSON_BODY
        )
        assert (answer.status_code, details[0] in answer.text) == (200, True)
    batch = await client.post(f"{AUDITS}/batch", content=b'{"items":[' + _body(details[1]) + b"]}", headers=JSON_BODY)
    history, page = await client.get(f"{url}/history"), await client.get(AUDITS)
    exported = (await client.get(f"{AUDITS}/export")).text.split("\n")[:-1]
    for text in (created.text, batch.text, history.text, page.text, *exported):
        assert _with_long_integers(text) == []
    for record in (
        created.json(),
        batch.json()["items"][0],
        page.json()["items"][1],
        *map(json.loads, exported),
        history.json()["items"][2]["record"],
    ):
        assert list(map(float, record["details"]["n"])) == numbers
        assert record["details"]["s"] == "12345678901234567890123, 1"
    assert await collect_findings(database) == []


@pytest.mark.parametrize("texts", TEXTS)
async def test_a_number_is_found_by_each_of_its_texts(client: httpx2.AsyncClient, texts: list[str]) -> None:
    for text in texts:
        assert (await _create(client, f'{{"a":{{"n":[{text}]}}}}')).status_code == 201
    stored = {str(record["details"]["a"]["n"][0]) for record in (await client.get(AUDITS)).json()["items"]}
    for text in {*texts, *stored}:
        found = await client.get(AUDITS, params={"details": f'{{"a":{{"n":[{text}]}}}}'})
        assert (text, found.json()["total"]) == (text, len(texts))


async def test_integers_below_2_63_are_answered_as_they_were_sent(client: httpx2.AsyncClient) -> None:
    numbers = [2**53 + 2, 2**60, 1152921504606847000, 2**63 - 1024, -(2**60)]
    assert (await create_audit(client, details={"n": numbers}))["details"]["n"] == numbers


async def test_the_history_writes_small_numbers_with_an_exponent(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client, details={"n": [1e-7, 1e-5]})
    history = await client.get(f"{AUDITS}/{record['id']}/history")
    assert '"details":{"n":[1e-7,0.00001]}' in history.text


async def test_two_texts_of_a_number_are_the_same_request(client: httpx2.AsyncClient) -> None:
    first, second = [
        await client.post(AUDITS, content=_body(f'{{"n":{text}}}'), headers=JSON_BODY | {"Idempotency-Key": "k"})
        for text in ("1e23", "100000000000000000000000")
    ]
    assert (second.headers["Idempotency-Replayed"], second.content) == ("true", first.content)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("12345678901234567.89", "inexact_number"),
        ("1e-400", "inexact_number"),
        ("9007199254740993", "inexact_integer"),
        ("100000000000000000000001", "inexact_integer"),
    ],
)
async def test_a_number_that_a_double_does_not_hold_is_422_and_named(
    client: httpx2.AsyncClient, number: str, kind: str
) -> None:
    details = f'{{"a": [0.5, {number}]}}'
    single = await _create(client, details)
    content = b'{"items":[' + _body("{}") + b"," + _body(details) + b"]}"
    batch = await client.post(f"{AUDITS}/batch", content=content, headers=JSON_BODY)
    for answer, location in ((single, ["body"]), (batch, ["body", "items", 1])):
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["loc"], error["type"]) == ([*location, "details", "a", 1], kind)
    filtered = await client.get(AUDITS, params={"details": details})
    assert filtered.status_code == 422
    assert (await client.get(AUDITS)).json()["total"] == 0


async def test_a_filter_with_too_many_numbers_of_two_texts_is_422(client: httpx2.AsyncClient) -> None:
    numbers: list[Any] = [10**number for number in range(23, 28)]
    found = [await client.get(AUDITS, params={"details": json.dumps({"n": numbers[:count]})}) for count in (4, 5)]
    assert [answer.status_code for answer in found] == [200, 422]
    assert "at most 4 numbers" in found[1].json()["errors"][0]["msg"]
