"""Randomly mutated requests: none is answered with 5xx, and every stored record can be read."""

import asyncio
import json
import random
from collections import Counter
from typing import Any

import httpx2

from src.config import DatabaseSettings
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.wire import connect, head

MUTATIONS = 6_000
AT_ONCE = 16
JSON = "Content-Type: application/json"

WORDS = [
    b"\0", b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"%00", b"%FF", b"1e400", b"1e308", b"NaN", b"-1",
    b"9" * 40, b"9007199254740993", b"null", b"true", b'""', b"{}", b"[]", b"{" * 200, b"[" * 200, b"'", b'"', b"\\",
    b"\r\n", b"\t", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59.999999-14:00", b"1e9", b"*", b".*", b"&", b"=",
    "\u202e\U0001f4a9".encode(), b"a" * 300, b"a" * 70_000, b"%", b"+", b";", b",", b" ", b"Content-Length: 5\r\n",
    b"limit=51", b"W/",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 0.1, 1e308, -1e-320, 2**53 + 1, 10**30, "", "\0", "\ud800", "\u2028\U0010ffff",
    "a" * 256, "=1+1", "a" * 70_000, [], {}, [[]] * 50, {"": {"": ""}}, "1970-01-01T00:00:00Z",
    "2026-01-01T00:00:00.123456789-23:59", "a.b",
]  # fmt: skip


def requests(audit_id: str) -> list[tuple[str, str, tuple[str, ...], bytes]]:
    one = f"{AUDITS}/{audit_id}"
    record = audit_body(details={"a": [1, {"b": "c"}]}, correlation_id="c", status="failure", actor_type="system")
    full = json.dumps(record | {"occurred_at": "2026-01-01T00:00:00.5+02:00"}).encode()
    who = ("X-Actor-Id: u-1", "X-Change-Reason: why%20not", JSON)
    search = (
        "action=invoice.*&status=failure&occurred_from=2026-01-01T00:00:00Z&details=%7B%22a%22:1%7D&limit=5&offset=1"
    )
    return [
        ("POST", AUDITS, who, full),
        ("POST", AUDITS, (*who, "Idempotency-Key: k"), full),
        ("POST", f"{AUDITS}/batch", who, b'{"items": [' + full + b", " + full + b"]}"),
        ("PUT", one, who, full),
        ("PATCH", one, (*who, 'If-Match: "1", "2"'), b'{"details": {"b": 1.5}, "status": "pending"}'),
        ("DELETE", f"{AUDITS}/01a20327-4455-7040-bbfd-742c4f9b48f3", who, b""),
        ("GET", f"{AUDITS}?{search}&order=asc&count=exact", (), b""),
        ("GET", f"{AUDITS}?cursor=WyJjMmVkMDM0Mjg5NzgzMTFmIiwyXQ", (), b""),
        ("GET", f"{AUDITS}/export?format=csv&{search.partition('&limit')[0]}", (), b""),
        ("GET", one, ('If-None-Match: "1"', "X-Request-ID: r", "Origin: https://a.example"), b""),
        (
            "GET",
            f"{one}/history?limit=5",
            ("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",),
            b"",
        ),
    ]


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 4))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 1, 5, 20)))
        new = chance.choice((b"", chance.choice(WORDS), bytes([chance.randrange(256)]), data[start:end] * 2))
        data = data[:start] + new + data[end:]
    return data


def replace(value: Any, chance: random.Random) -> Any:
    """Replace one value inside a JSON value by another."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(VALUES)
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    changed = value.copy()
    changed[key] = replace(value[key], chance)
    return changed


def mutate(request: tuple[str, str, tuple[str, ...], bytes], chance: random.Random) -> bytes:
    """Mutate mostly one part, so that the valid rest leads to the code that reads this part; sometimes everything."""
    method, path, fields, body = request
    part = chance.choice(("path", "fields", "body", "value", "value", "all"))
    if part == "path":
        path = "/" + mutate_bytes(path[1:].encode(), chance).decode("latin-1").replace(" ", "%20")
    if part == "fields" and fields:
        fields = tuple(mutate_bytes(field.encode(), chance).decode("latin-1") for field in fields)
    if part == "body":
        body = mutate_bytes(body, chance)
    if part == "value" and body:
        body = json.dumps(replace(json.loads(body), chance)).encode()
    sent = head(method, path, *fields, f"Content-Length: {len(body)}") + body
    return mutate_bytes(sent, chance) if part == "all" else sent


async def status_of(url: str, sent: bytes) -> int:
    async with asyncio.timeout(20), connect(url) as connection:
        await connection.send(sent)
        line = await connection.reader.readline()
        return int(line.split()[1])


async def test_mutated_requests_get_no_5xx_and_store_nothing_unreadable(database_settings: DatabaseSettings) -> None:
    seed = 20261122
    chance, statuses, refused = random.Random(seed), Counter[int](), []
    async with (
        run_server(
            database_settings.database_url.get_secret_value(), REQUEST_HEAD_TIMEOUT="0.5", REQUEST_BODY_TIMEOUT="0.5"
        ) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=30) as client,
    ):
        bases = requests((await create_audit(client))["id"])
        left = iter([mutate(chance.choice(bases), chance) for _ in range(MUTATIONS)])

        async def send() -> None:
            for sent in left:
                status = await status_of(server.url, sent)
                statuses[status] += 1
                if status >= 500:
                    refused.append((status, sent[:500]))

        await asyncio.gather(*(send() for _ in range(AT_ONCE)))
        print(f"\nseed {seed}, {MUTATIONS} mutations: {dict(sorted(statuses.items()))}")
        assert not refused, refused
        assert statuses.total() == MUTATIONS
        url, records = f"{AUDITS}?limit=50", []
        while url:
            page = await client.get(url)
            assert page.status_code == 200, page.text
            records += page.json()["items"]
            url = page.links["next"]["url"] if "next" in page.links else ""
        for record in records:
            for path in (record["id"], f"{record['id']}/history"):
                assert (await client.get(f"{AUDITS}/{path}")).status_code == 200, record
        exported = await client.get(f"{AUDITS}/export")
        assert len(exported.text.split("\n")) == len(records) + 1
        print(f"{len(records)} records were stored, and each is read")
        assert len(records) > 100
        assert not [line for line in server.log() if line["level"] == "ERROR"]
