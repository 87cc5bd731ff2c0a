"""With and without each part of the fast path the service answers the same."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from src.config import AppSettings, DatabaseSettings, FastPath
from src.engines import create_pool
from src.main import create_app
from src.settings import Settings
from src.web.compiled import CompiledRoutesMiddleware
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body
from tests.conftest import driver_url
from tests.wire import Answer, connect, head

JSON = "Content-Type: application/json"
CHANGING = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[-0-9]{10}T[:0-9]{8}(\.[0-9]+)?Z")
"""Ids and times."""


@pytest.fixture
async def servers(database: DatabaseSettings) -> AsyncIterator[list[Server]]:
    """One with every part of the fast path, one without any."""
    url = driver_url(database)
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(run_server(url, FAST_PATHS=parts)) for parts in ("all", "none")]
        yield [await each for each in starting]


async def test_the_service_answers_and_logs_the_same_without_its_fast_path(servers: list[Server]) -> None:
    fast, plain = [await exchange(server) for server in servers]
    assert [answer[0] for answer in fast] == [201, 200, 200, 412, 404, 422, 400, 405, 200, 200, 404, 200]
    assert fast == plain
    for server in servers:
        await server.stop()
    one, other = [[comparable(line) for line in server.log() if line["logger"] == "src.access"] for server in servers]
    assert len(one) == len(fast)
    assert one == other


async def exchange(server: Server) -> list[tuple[Any, ...]]:
    """Create, read, change and refuse on one connection, the last requests in one piece."""
    async with asyncio.timeout(20), connect(server.url) as connection:
        created = await ask(connection, post(json.dumps(audit_body()).encode()))
        one = created.headers["Location"]
        answers = [created] + [
            await ask(connection, sent)
            for sent in (
                head("GET", one),
                head("PATCH", one, JSON, 'If-Match: "1"', "Content-Length: 20") + b'{"status":"failure"}',
                head("PATCH", one, JSON, 'If-Match: "1"', "Content-Length: 20") + b'{"status":"failure"}',
                head("GET", f"{AUDITS}/{'0' * 8}-0000-0000-0000-{'0' * 12}"),
                post(b'{"action": 1}'),
                post(b"{"),
                head("DELETE", AUDITS),
            )
        ]
        await connection.send(head("GET", one) + head("GET", "/health/live") + head("GET", "/none") + head("GET", one))
        answers += [await connection.answer() for _ in range(4)]
    return [
        (answer.status, sorted(CHANGING.sub(b"*", f"{item}".encode()) for item in fields(answer)), body_of(answer))
        for answer in answers
    ]


def post(body: bytes) -> bytes:
    return head("POST", AUDITS, JSON, f"Content-Length: {len(body)}") + body


async def ask(connection: Any, sent: bytes) -> Answer:
    await connection.send(sent)
    answer: Answer = await connection.answer()
    return answer


def fields(answer: Answer) -> list[tuple[str, str]]:
    """The headers, but the time and the length, which depends on the digits of a time."""
    return [item for item in answer.headers.items() if item[0] not in ("date", "content-length")]


def body_of(answer: Answer) -> bytes:
    return CHANGING.sub(b"*", answer.body)


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    """An access line without what differs from one request to the next."""
    path = CHANGING.sub(b"*", line["path"].encode())
    return {name: line[name] for name in ("level", "message", "method", "route", "status", "client")} | {"path": path}


@pytest.fixture(params=[frozenset(FastPath), frozenset()], ids=["all", "none"])
def settings(request: pytest.FixtureRequest, database: DatabaseSettings) -> Settings:
    parts = {"fast_paths": request.param}
    return Settings.load(AppSettings(fast_paths=request.param), database.model_copy(update=parts))


async def test_each_part_is_on_only_where_it_is_named(settings: Settings) -> None:
    parts = settings.app.fast_paths
    app = create_app(settings)
    assert (type(app) is not FastAPI) is (FastPath.DIRECT_ENTRANCE in parts)
    layers: list[Any] = [app.build_middleware_stack()]
    while inner := getattr(layers[-1], "app", None):
        layers.append(inner)
    assert (CompiledRoutesMiddleware in map(type, layers)) is (FastPath.COMPILED_ROUTES in parts)


async def test_a_connection_is_kept_only_where_that_part_is_named(settings: Settings) -> None:
    pool = create_pool(settings.database)
    await pool.release(await pool.acquire())
    idle = pool._pool.checkedin()  # noqa: SLF001 (what is kept is not there)
    assert idle == (FastPath.KEPT_CONNECTIONS not in settings.app.fast_paths)
    await pool.dispose()


def test_all_and_none_are_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        "all": frozenset(FastPath),
        "none": frozenset[FastPath](),
        " shared-timer, batched-log": frozenset({FastPath.SHARED_TIMER, FastPath.BATCHED_LOG}),
        # An empty value is no value.
        "": frozenset(FastPath),
    }
    for given, parts in expected.items():
        monkeypatch.setenv("FAST_PATHS", given)
        assert AppSettings().fast_paths == parts
