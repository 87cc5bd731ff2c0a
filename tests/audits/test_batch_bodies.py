"""The bodies of a batch: JSON or NDJSON, as it is or as gzip, within limits also of what it unpacks to."""

import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any

import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body

BATCH = f"{AUDITS}/batch"
LIMIT = 4 * 1024 * 1024
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}

pytestmark = pytest.mark.usefixtures("client_of_module")


def records(count: int) -> list[dict[str, Any]]:
    return [audit_body(entity_id=str(number)) for number in range(count)]


def as_lines(items: list[Any], line_break: str = "\n") -> bytes:
    return line_break.join(map(json.dumps, items)).encode()


def entities(response: httpx2.Response) -> list[str]:
    assert response.status_code == 201, response.text
    return [item["entity_id"] for item in response.json()["items"]]


def problem(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize(
    "body",
    [
        as_lines(records(3)),
        as_lines(records(3)) + b"\n",
        as_lines(records(3), "\r\n") + b"\r\n",
        b"\n\r\n \t\n" + as_lines(records(3), "\n\n\r\n  \n") + b"\n\n",
        as_lines(records(3), " \t\n \t"),
    ],
    ids=["no last line break", "last line break", "CRLF", "empty lines", "blanks around"],
)
async def test_each_line_of_ndjson_is_a_record(client_of_module: httpx2.AsyncClient, body: bytes) -> None:
    response = await client_of_module.post(BATCH, content=body, headers=LINES)
    assert entities(response) == ["0", "1", "2"]
    assert response.json()["count"] == 3


@pytest.mark.parametrize("media_type", ["application/x-ndjson; charset=utf-8", "APPLICATION/X-NDJSON"])
async def test_the_media_type_of_ndjson_may_have_parameters_and_any_case(
    client_of_module: httpx2.AsyncClient, media_type: str
) -> None:
    headers = {"Content-Type": media_type}
    assert entities(await client_of_module.post(BATCH, content=as_lines(records(1)), headers=headers)) == ["0"]


@pytest.mark.parametrize("size", [1000, 1001])
async def test_ndjson_has_at_most_1000_records(client_of_module: httpx2.AsyncClient, size: int) -> None:
    response = await client_of_module.post(BATCH, content=as_lines(records(size), "\n\n"), headers=LINES)
    if size > 1000:
        assert (problem(response), response.json()["errors"][0]["loc"]) == (INVALID, ["body", "items"])
    else:
        assert len(entities(response)) == size


INVALID = (422, "validation-error")
MALFORMED = (400, "malformed-json")


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\r\n"])
async def test_ndjson_without_a_record_gets_422(client_of_module: httpx2.AsyncClient, body: bytes) -> None:
    assert problem(await client_of_module.post(BATCH, content=body, headers=LINES)) == INVALID


GOOD = as_lines(records(1))


@pytest.mark.parametrize(
    "line",
    [
        b"{", b"}", GOOD + b",", GOOD + GOOD, b'{"action": "a"', b"nul", b"\xff", b"[1,", b'{"a": NaN}', b"\0",
        b'{"a": "\\ud800"}', b'{"a": 1e400}', b"\xef\xbb\xbf" + GOOD, b'{"a": "\r"}', b'"', b"'a'", b"\x0b", b"\x85",
    ],
)  # fmt: skip
async def test_a_line_that_is_not_json_gets_400_and_its_number(
    client_of_module: httpx2.AsyncClient, line: bytes
) -> None:
    body = b"\n".join([GOOD, b"", line, GOOD])
    response = await client_of_module.post(BATCH, content=body, headers=LINES)
    assert problem(response) == MALFORMED
    assert response.json()["detail"].startswith("Line 3: ")
    assert [error["loc"] for error in response.json()["errors"]] == [["body", "items", 1]]


async def test_a_record_of_several_lines_is_not_ndjson(client_of_module: httpx2.AsyncClient) -> None:
    body = json.dumps(audit_body(), indent=1).encode()
    assert problem(await client_of_module.post(BATCH, content=body, headers=LINES)) == MALFORMED


async def test_lines_are_not_joined_before_they_are_parsed(client_of_module: httpx2.AsyncClient) -> None:
    body = GOOD[:-1] + b"\n" + b'"status": "failure"}'
    response = await client_of_module.post(BATCH, content=body, headers=LINES)
    assert [error["loc"][2] for error in response.json()["errors"]] == [0, 1]


@pytest.mark.parametrize(
    ("line", "location", "kind"),
    [
        (b'{"details": {"a": "\\u0000"}}', ["details", "a"], "nul_character"),
        (b'{"details": {"a": 9007199254740993}}', ["details", "a"], "inexact_integer"),
        (b'{"action": "a", "action": "b"}', ["action"], "repeated_name"),
        (b'{"details": ' + b'{"a": ' * 300 + b"1" + b"}" * 301, [], "too_deep"),
        (b"{" + b",".join(b'"%d": 1' % n for n in range(1001)) + b"}", [], "too_many"),
        (json.dumps(audit_body(status="a")).encode(), ["status"], "enum"),
        (b"[]", [], "model_attributes_type"),
        (b"null", [], "model_attributes_type"),
    ],
    ids=["NUL", "integer", "repeated name", "depth", "crowded", "invalid", "a list", "null"],
)  # fmt: skip
@pytest.mark.parametrize("headers", [JSON, LINES])
async def test_the_rules_of_json_hold_for_each_item(
    client_of_module: httpx2.AsyncClient, headers: dict[str, str], line: bytes, location: list[str], kind: str
) -> None:
    items = [GOOD, line, GOOD]
    body = b"\n".join(items) if headers is LINES else b'{"items": [%s]}' % b",".join(items)
    response = await client_of_module.post(BATCH, content=body, headers=headers)
    assert problem(response) == INVALID
    found = {tuple(error["loc"]): error["type"] for error in response.json()["errors"]}
    assert found == {("body", "items", 1, *location): kind}


async def test_every_line_with_nul_is_named(client_of_module: httpx2.AsyncClient) -> None:
    line = b'{"details": {"a": ["\\u0000", "\\u0000"]}}'
    response = await client_of_module.post(BATCH, content=b"\n".join([line, GOOD, line]), headers=LINES)
    assert {error["loc"][2] for error in response.json()["errors"]} == {0, 2}
    assert response.json()["detail"].startswith("4 values")


@pytest.mark.parametrize("text", [b'{"a": "\\ud800"}', b'{"a": "\\udc00\\ud800"}', b'{"a": [1e400]}'])
async def test_an_item_of_json_with_a_lone_surrogate_or_too_large_a_number_is_named(
    client_of_module: httpx2.AsyncClient, text: bytes
) -> None:
    body = b'{ "items" : [' + b" , ".join([GOOD, text, GOOD, text]) + b"]\r\n}"
    response = await client_of_module.post(BATCH, content=body, headers=JSON)
    assert problem(response) == MALFORMED
    assert response.json()["detail"].startswith("items[1]: ")
    assert [error["loc"] for error in response.json()["errors"]] == [["body", "items", 1], ["body", "items", 3]]


async def test_ndjson_and_json_of_the_same_records_are_the_same_payload(client_of_module: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "one"}
    first = await client_of_module.post(BATCH, json={"items": records(2)}, headers=key)
    packed = gzip.compress(as_lines(records(2)))
    again = await client_of_module.post(BATCH, content=packed, headers=key | LINES | GZIP)
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    other = await client_of_module.post(BATCH, content=as_lines(records(3)), headers=key | LINES)
    assert problem(other) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "identity, gzip", "gzip,"])
@pytest.mark.parametrize("headers", [JSON, LINES])
async def test_a_batch_may_be_gzip(client_of_module: httpx2.AsyncClient, headers: dict[str, str], coding: str) -> None:
    body = as_lines(records(1000)) if headers is LINES else json.dumps({"items": records(1000)}).encode()
    packed = gzip.compress(body)
    response = await client_of_module.post(BATCH, content=packed, headers=headers | {"Content-Encoding": coding})
    assert len(entities(response)) == 1000


async def test_gzip_may_have_several_members(client_of_module: httpx2.AsyncClient) -> None:
    members = [gzip.compress(part) for part in (b"", GOOD[:20], GOOD[20:], b"\n", b"", GOOD)]
    response = await client_of_module.post(BATCH, content=b"".join(members), headers=LINES | GZIP)
    assert entities(response) == ["0", "0"]


PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    "body",
    [
        *(PACKED[:length] for length in (0, 1, 9, 10, 20, len(PACKED) - 8, len(PACKED) - 1)),
        PACKED + b"garbage", PACKED + b"\0", PACKED + PACKED[:5], GOOD, zlib.compress(GOOD),
        PACKED[:-5] + bytes([PACKED[-5] ^ 1]) + PACKED[-4:], PACKED[:-1] + b"\1",
    ],
)  # fmt: skip
async def test_what_is_not_whole_gzip_gets_400(client_of_module: httpx2.AsyncClient, body: bytes) -> None:
    assert problem(await client_of_module.post(BATCH, content=body, headers=LINES | GZIP)) == (400, "malformed-gzip")


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "*", "a"])
@pytest.mark.parametrize(("path", "accepted"), [(BATCH, "gzip, identity"), (AUDITS, "identity")])
async def test_another_content_coding_gets_415_and_hears_which_are_accepted(
    client_of_module: httpx2.AsyncClient, path: str, accepted: str, coding: str
) -> None:
    response = await client_of_module.post(path, content=PACKED, headers=JSON | {"Content-Encoding": coding})
    assert problem(response) == (415, "unsupported-media-type")
    assert response.headers["Accept-Encoding"] == accepted


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-ndjson; charset=latin-1", "application/ndjsonx"])
@pytest.mark.parametrize("path", [BATCH, AUDITS])
async def test_another_media_type_gets_415_and_no_word_of_content_codings(
    client_of_module: httpx2.AsyncClient, path: str, media_type: str
) -> None:
    response = await client_of_module.post(path, content=GOOD, headers={"Content-Type": media_type})
    assert problem(response) == (415, "unsupported-media-type")
    assert "Accept-Encoding" not in response.headers


async def test_only_a_batch_may_be_ndjson_or_gzip(client_of_module: httpx2.AsyncClient) -> None:
    for headers, body in ((LINES, GOOD), (JSON | GZIP, PACKED)):
        assert problem(await client_of_module.post(AUDITS, content=body, headers=headers))[0] == 415


async def test_the_limit_holds_for_what_gzip_unpacks_to(client_of_module: httpx2.AsyncClient) -> None:
    body = json.dumps({"items": records(2)}).encode()
    for size, status in ((LIMIT, 201), (LIMIT + 1, 413)):
        packed = gzip.compress(body + b" " * (size - len(body)))
        assert len(packed) < 10_000
        response = await client_of_module.post(BATCH, content=packed, headers=JSON | GZIP)
        assert response.status_code == status, response.text


async def test_the_limit_holds_for_the_gzip_itself(client_of_module: httpx2.AsyncClient) -> None:
    members = gzip.compress(b"")
    body = PACKED + members * (LIMIT // len(members))
    assert problem(await client_of_module.post(BATCH, content=body, headers=LINES | GZIP)) == (413, "payload-too-large")


@pytest.mark.parametrize("content", [b"\0", b"[", b'{"a":', b"\n", b" \n", b"1\n", b"\xff", b'"', b'["\\ud800"],'])
@pytest.mark.parametrize("headers", [JSON, LINES])
async def test_a_bomb_gets_413_in_little_time_and_memory(
    client_of_module: httpx2.AsyncClient, headers: dict[str, str], content: bytes
) -> None:
    # More than a gibibyte, in members of 8 MiB.
    bomb = gzip.compress(content * (8 * 1024 * 1024 // len(content))) * 130
    tracemalloc.start()
    started = time.process_time()
    response = await client_of_module.post(BATCH, content=bomb, headers=headers | GZIP)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problem(response) == (413, "payload-too-large")
    assert seconds < 1
    assert peak < 20 * 1024 * 1024


@pytest.mark.parametrize("content", [b"\n", b" \n", b"1\n", b"[\n", b"[", b"{}\n", b'"\n', b"\xff\n", b'"a" '])
async def test_what_unpacks_to_the_limit_is_refused_in_little_time(
    client_of_module: httpx2.AsyncClient, content: bytes
) -> None:
    packed = gzip.compress(content * (LIMIT // len(content)))
    for query, statuses in (("", (400, 422)), ("?mode=partial", (207, 422))):
        started = time.process_time()
        response = await client_of_module.post(BATCH + query, content=packed, headers=LINES | GZIP)
        assert response.status_code in statuses, response.text[:200]
        assert time.process_time() - started < 1
