"""Bad input with its exact answers: never a 5xx, and no accepted value makes a page unreadable."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import pytest

from scripts.postgres import Cluster
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.conftest import settings_for
from tests.wire import connect, head

JSON = "Content-Type: application/json"
BATCH = f"{AUDITS}/batch"
NO_RECORD = f"{AUDITS}/01a20327-4455-7040-bbfd-742c4f9b48f3"
Case = tuple[bytes, int, str]


@pytest.fixture(scope="module")
async def server(cluster: Cluster, administrator: asyncpg.Connection) -> AsyncIterator[Server]:
    await administrator.execute("CREATE DATABASE bad_input TEMPLATE app STRATEGY file_copy")
    async with run_server(settings_for(cluster, "bad_input").database_url.get_secret_value()) as server:
        yield server
    await administrator.execute("DROP DATABASE bad_input WITH (FORCE)")


def send(method: str, path: str, body: bytes = b"", *fields: str) -> bytes:
    return head(method, path, *fields, *([f"Content-Length: {len(body)}"] if body else [])) + body


def body(value: Any, status: int = 422, code: str = "validation-error", *fields: str) -> Case:
    """A request to `POST /audits` with its status and code; bytes are sent unchanged."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return send("POST", AUDITS, text, JSON, *fields), status, code


def details(text: bytes, status: int = 422, code: str = "validation-error") -> Case:
    return body(json.dumps(audit_body()).encode()[:-1] + b', "details": ' + text + b"}", status, code)


def query(text: str, path: str = AUDITS) -> Case:
    return send("GET", f"{path}?{text}"), 422, "validation-error"


def header(*fields: str, method: str = "POST", status: int = 422, code: str = "validation-error") -> Case:
    path, content = (AUDITS, audit_body()) if method == "POST" else (NO_RECORD, {"status": "failure"})
    return send(method, path, json.dumps(content).encode(), JSON, *fields), status, code


MALFORMED = (400, "malformed-json")
NOT_FOUND = (404, "not-found")
UNSUPPORTED = (415, "unsupported-media-type")

NO_TEXT: tuple[Any, ...] = (None, 1, True, [], {}, "", "\0", "\n")
BATCHES: tuple[Any, ...] = (
    {}, [], {"items": []}, {"items": None}, {"items": {}}, {"items": [{}]}, {"items": [None]}, {"items": [1, "a"]},
    {"items": [audit_body()], "extra": 1}, {"items": [audit_body()] * 1001},
)  # fmt: skip
PATCHES: tuple[Any, ...] = (
    {}, {"id": "a"}, {"version": 2}, {"details": None}, {"status": None}, {"action": None}, [], None,
)  # fmt: skip

BODIES = [
    *(body(audit_body(**{field: value})) for field in audit_body() for value in NO_TEXT),
    *(body({name: value for name, value in audit_body().items() if name != field}) for field in audit_body()),
    body(b"[" * 100_000),
    *(body(value) for value in ({}, [], None, 1, "a", True, [audit_body()], audit_body(extra=1), audit_body(id="a"))),
    *(body(audit_body(occurred_at=value)) for value in (
        None, 0, 1e9, "", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "1969-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "2026-01-01 00:00:00Z", "now",
        "infinity", "-infinity", "20260101T000000Z", "\u0660026-01-01T00:00:00Z", "2026-01-01T24:00:00Z",
    )),
    *(body(audit_body(**{field: value})) for field, value in (
        ("action", "a" * 257), ("action", "a*"), ("action", "a "), ("entity_id", "a" * 1_025), ("actor_id", "\x7f"),
        ("entity_id", "é" * 1_001), ("source", "a"), ("event_id", "a"), ("source", "a" * 257),
        ("actor_type", "robot"), ("status", "ok"), ("correlation_id", "a" * 129), ("details", [1]), ("details", "{}"),
    )),
    *(details(text) for text in (
        b'{"a": "\\u0000"}', b'{"\\u0000": 1}', b'{"a": 9007199254740993}', b'{"a": 123456789012345678901}',
        b'{"a": ' * 33 + b"1" + b"}" * 33, b'{"a": ' * 300 + b"1" + b"}" * 300,
        b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a": "' + b"b" * 66_000 + b'"}', b"null", b"[]", b"1",
        b'{"a": [' + b"1e308," * 300 + b"1]}", b'{"a": 1, "a": 1}', b'{"a": {"b": [{"c" : 1, "\\u0063": 2}]}}',
    )),
    *(details(text, *MALFORMED) for text in (
        b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e400}', b'{"a": -1e400}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}', b'{"a": 01}', b"{'a': 1}", b'{"a": 1,}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}',
        b'{"a"}',
        b'{"a": "\n"}', b'{"a": .5}', b'{"a": 0x1}', b'{"a": 1 /* */}',
    )),
    *(body(text, *MALFORMED) for text in (
        b"{", b"}", b"\xff", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"{}{}", b"nul", b" ", b"\0", b'"', b"{}\0",
        b"<a/>", b"a=b", json.dumps(audit_body()).encode("utf-16"),
    )),
    body(b"[" + b"1," * 600_000 + b"1]", 413, "payload-too-large"),
    (send("POST", AUDITS, b"", JSON), 422, "validation-error"),
    *((send("POST", AUDITS, b"{}", *fields), *UNSUPPORTED) for fields in (
        (), ("Content-Type: text/plain",), ("Content-Type: application/json; charset=latin-1",),
        ("Content-Type: application/jsonx",), (JSON, "Content-Encoding: gzip"), (JSON, JSON), ("Content-Type: ",),
        ("Content-Type: multipart/form-data; boundary=a",), ("Content-Type: application/x-www-form-urlencoded",),
    )),
    *((send("POST", BATCH, json.dumps(batch).encode(), JSON), 422, "validation-error") for batch in BATCHES),
    *((send("PATCH", NO_RECORD, json.dumps(patch).encode(), JSON), 422, "validation-error") for patch in PATCHES),
    (send("PUT", NO_RECORD, json.dumps(audit_body()).encode(), JSON), 422, "validation-error"),
]  # fmt: skip

QUERIES = [
    *(query(text) for text in (
        "limit=51", "limit=0", "limit=-1", "limit=", "limit=a", "limit=1.5", "limit=1e1",
        "limit=99999999999999999999",
        "limit=1&limit=2", "limit=%00", "offset=-1", "offset=10001", "offset=9223372036854775808",
        "offset=1&cursor=a", "cursor=", "cursor=a", "cursor=%00", "cursor=" + "a" * 5000, "cursor=bnVsbA",
        "cursor=W10",
        "cursor=WyIiXQ", "cursor=%F0%9F%92%A9", "order=up", "order=", "order=asc&order=desc", "count=all", "count=",
        "action=", "action=*", "action=a%20", "action=%20*", "action=%20a", "action=" + "a" * 257, "action=%00",
        "entity_type=*", "entity_id=%00", "entity_id=", "entity_id=" + "a" * 1_025, "source=", "event_id=%00",
        "actor_id=%0A", "actor_type=a",
        "status=ok", "correlation_id=", "occurred_from=2026", "occurred_from=0", "occurred_from=2026-01-01T00:00:00",
        "occurred_from=0001-01-01T00:00:00%2B14:00", "occurred_to=9999-12-31T23:59:59.999999-14:00",
        "occurred_to=now",
        "occurred_from=2026-01-01T00:00:00+00:00", "details=", "details=1", "details=[]", "details=%7B",
        "details=null",
        "details=%7B%22a%22:NaN%7D", "details=%7B%22a%22:1,%22a%22:2%7D",
        "details=%7B%22a%22:1e400%7D", "details=%7B%22a%22:%22%5Cu0000%22%7D",
        "details=%7B%22a%22:%22%5Cud800%22%7D", "details=" + quote('{"a":' * 100 + "1" + "}" * 100),
        "details=%7B%7D&details=%7B%7D",
        "nonsense=1", "Limit=1", "limit[]=1", "%FF=1", "limit=%FF", "action=%ED%A0%80", "=", "=1", "%00=1", "a;b",
    )),
    *(query(text, f"{AUDITS}/export") for text in ("format=xml", "format=", "limit=1", "format=csv&format=csv")),
    *(query(text, f"{NO_RECORD}/history") for text in ("limit=51", "limit=a", "cursor=a", "cursor=%00", "order=asc")),
    *(query("a=1", path) for path in (NO_RECORD, "/api/v1/ai/status")),
]  # fmt: skip

PATHS = [
    *((send("GET", f"{AUDITS}/{text}"), *NOT_FOUND) for text in (
        "a", "1", "-1", "%00", "%FF", "%F0%9F%92%A9", "../audits", "%2e%2e", "null", "0" * 31,
        "'; DROP TABLE audit; --".replace(" ", "%20"),
        "01a20327-4455-7040-bbfd-742c4f9b48f", "01a20327-4455-7040-bbfd-742c4f9b48f3/",
        "01a20327-4455-7040-bbfd-742c4f9b48f3/a",
        "{audit_id}", "batch/", "export/", "a" * 5000, "%252e", "..%2f..%2fetc%2fpasswd",
    )),
    *((send("GET", path), *NOT_FOUND) for path in (
        "*", "//", "/api", "/api/v1", "/api/v2/audits", f"{AUDITS}/", "/API/V1/AUDITS", "/docs/../openapi.json",
        "/static/a", "/.env",
        "/health/", "/openapi.json/", "/%00", "/%FF",
        "/%0A", "/health%0A", f"{AUDITS}%0A", f"{AUDITS}/{'0' * 32}%0A", "/api/v1/ledger/checkpoint%0A",
        "/api/v1/ledger/tile/0/000%0A",
    )),
    *((send("GET", f"{AUDITS}/{text}"), 404, "audit-not-found") for text in (
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    )),
    *((send(method, path), 405, "method-not-allowed") for method, path in (
        ("DELETE", AUDITS), ("PATCH", AUDITS), ("PUT", f"{AUDITS}/batch"), ("GET", f"{AUDITS}/batch"), ("POST",
        f"{AUDITS}/export"),
        ("POST", NO_RECORD), ("POST", "/health"), ("TRACE", AUDITS), ("OPTIONS", AUDITS), ("PROPFIND", AUDITS),
        ("DELETE", "/"),
    )),
    *((raw, 400, "malformed-request") for raw in (
        b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\na\0: b\r\n\r\n", b"\0" * 100,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    )),
]  # fmt: skip

HEADERS = [
    *(header(f"Idempotency-Key: {key}") for key in ("", "a" * 256, "\xe9", "a\tb")),
    *(header(f"{name}: {value}") for name in ("X-Actor-Id", "X-Change-Reason") for value in (
        "", "%", "%zz", "%FF", "%00", "%0A", "%C2%85", "\xe9", "%ED%A0%80", "a" * 513,
    )),
    *(header(f"{name}: a", f"{name}: b") for name in ("Idempotency-Key", "X-Actor-Id", "X-Change-Reason")),
    *(header(f"If-Match: {value}", method="PATCH") for value in (
        "", "1", "a", '"', '"1', '"1" "2"', "W/", "W/1", ",", "*, *",
    )),
    *(header(f"If-Match: {value}", method="PATCH", status=404, code="audit-not-found") for value in (
        '"a"', '"99999999999999999999"', 'W/"1"', "*", '"' + "a" * 5000 + '"', '"\xe9"',
    )),
]  # fmt: skip

CORPUS = [*BODIES, *QUERIES, *PATHS, *HEADERS]


async def test_every_bad_input_gets_its_exact_answer(server: Server) -> None:
    wrong = []
    for sent, status, code in CORPUS:
        async with asyncio.timeout(10), connect(server.url) as connection:
            await connection.send(sent)
            answer = await connection.answer()
            found = answer.status, answer.json().get("code")
            if found != (status, code) or answer.headers["X-Request-ID"] != answer.json()["request_id"]:
                wrong.append((sent[:200], status, answer.status, answer.body[:300]))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(CORPUS) > 300
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get(AUDITS)).json()["total"] == 0
    assert not [line for line in server.log() if line["level"] == "ERROR"]


async def test_unusual_valid_values_are_stored_and_read_back(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        for odd in (
            audit_body(details={"": {"": [[], {}, None, True, 1e308, -1e-320, 0.1, "\u2028\U0010ffff\ufffe"]}}),
            audit_body(entity_id="\U0001f4a9\u202e\ufeff", actor_id="' OR 1=1 --", correlation_id="<script>"),
            audit_body(occurred_at="1970-01-01T00:00:00Z"),
            audit_body(occurred_at="2026-01-01T13:59:59.999999999999+14:00"),
            audit_body(details={"a" * 60_000: 1}),
        ):
            record = await create_audit(client, **odd)
            assert (await client.get(f"{AUDITS}/{record['id']}")).json() == record
            assert (await client.get(f"{AUDITS}/{record['id']}/history")).json()["items"][0]["record"] == record
        assert (await client.get(AUDITS)).status_code == 200
        assert len((await client.get(f"{AUDITS}/export")).text.split("\n")) == 6
