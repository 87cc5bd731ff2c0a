"""Every route of the application answers the same, compiled or not, on two databases that get the same requests."""

import gc
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from src import clock, identifiers
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings, FastPath
from src.health import probe
from src.ledger.config import LedgerSettings
from src.main import create_app
from src.settings import Settings
from tests.ai.application import ai_settings
from tests.audits.factories import AUDITS, audit_body
from tests.web.both_ways import TEXTS, Application, Asked, Pair, Way, assert_same, choices, request, sent_to
from tests.web.test_openapi import OPERATIONS, resolve

ID = "00000000-0000-7000-8000-000000000001"
ROUNDS = 12
JSON = (b"content-type", b"application/json")


class Numbered:
    """Ids and times of one request; the same for both applications."""

    def __init__(self) -> None:
        self.number = 0
        self.restart()

    def restart(self) -> None:
        self._ids = count(self.number * 10_000 + 1)

    def new_id(self) -> str:
        return str(UUID(int=UUID(ID).int - 1 + next(self._ids)))

    def now(self) -> datetime:
        return datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=self.number)


class Ours(Application):
    def __init__(self, app: FastAPI, state: Any, numbered: Numbered) -> None:
        super().__init__(app, state)
        self.numbered = numbered

    async def ask(self, asked: Asked, *, breaks_off: bool = False) -> Any:
        self.numbered.restart()
        return await super().ask(asked, breaks_off=breaks_off)


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Numbered:
    made = Numbered()
    monkeypatch.setattr(clock, "now", made.now)
    monkeypatch.setattr(identifiers, "new_id", made.new_id)
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    monkeypatch.setattr(probe, "DEADLINE_SECONDS", 60)
    return made


@pytest.fixture
async def pair(
    database_settings: DatabaseSettings, database_of_module: DatabaseSettings, numbered: Numbered
) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        made = []
        for database, compiles in ((database_settings, True), (database_of_module, False)):
            ledger = LedgerSettings(ledger_interval=3600)
            app_settings = AppSettings(place_timeout=5, fast_paths=frozenset(FastPath) if compiles else frozenset())
            app = create_app(
                Settings.load(app_settings, database, ledger, AuditSettings(), ai_settings(openai_api_key=None))
            )
            state: Any = await stack.enter_async_context(app.router.lifespan_context(app))
            # Streams end at once.
            state["stop_waiting"]()
            made.append(Ours(app, state, numbered))
        yield made[0], made[1]


def _values() -> list[Any]:
    """The examples of every body, and records with more."""
    contents = [each.get("requestBody", {}).get("content", {}).get("application/json") for each in OPERATIONS.values()]
    examples = [resolve(content["schema"])["examples"][0] for content in contents if content]
    record = audit_body(details={"a": [1, None, "ü"]}, correlation_id="c", occurred_at="2026-01-31T11:00:00Z")
    return [
        *examples,
        record,
        audit_body(),
        {"items": [record, audit_body()]},
        {"items": [record, {}]},
        {"status": "failure"},
    ]


TRIED = [
    *(
        "invoice.update",
        "invoice.*",
        "failure",
        "user",
        "action",
        "status",
        "actor_id",
        "desc",
        "asc",
        "csv",
        "ndjson",
        "none",
        "exact",
        "partial",
        "50",
        "51",
        "20",
    ),
    *('"1"', '"2", "3"', "*", 'W/"1"', "u-1", "u%C3%BC", "%", "2026-01-31T11:30:00Z", "2026-01-31T13:00:00+01:00"),
]


async def test_every_route_of_the_application_answers_the_same(pair: Pair, numbered: Numbered) -> None:
    """Each is served compiled, unless it is refused; the list of the documents is not FastAPI's to serve."""
    ids = [ID, "01a20327-4455-7040-bbfd-742c4f9b48f3"]
    routes = list(sent_to(pair, [*TEXTS, *TRIED, *ids], _values()))
    chosen, ways = cycle(choices(ROUNDS * len(routes))), [*Way, Way.VALID]
    served: Counter[str] = Counter()
    for number in range(ROUNDS):
        for place, sent in enumerate(routes):
            numbered.number += 1
            way = ways[(place + number) % len(ways)]
            asked = request(sent, way, next(chosen))
            left = pair[0].left
            answered = await assert_same(pair, _traced(asked, numbered.number))
            # A path with a line break at its end is refused before any route.
            served[sent.path] += pair[0].left == left and not asked.path.endswith("\n")
            if way is Way.VALID and answered.status in (200, 201, 207):
                assert (pair[0].left > left) == (sent.path in LEFT), asked
    assert {path for path in (sent.path for sent in routes) if not served[path]} == LEFT


LEFT = {"/openapi.json", "/docs/assets/{path}"}


def _traced(asked: Asked, number: int) -> Asked:
    return replace(asked, headers=[*asked.headers, (b"x-request-id", f"request-{number}".encode())])


@pytest.mark.parametrize("query", [b"", b"mode=atomic", b"mode=partial", b"mode=all"])
async def test_every_form_of_a_batch_is_answered_the_same(pair: Pair, numbered: Numbered, query: bytes) -> None:
    record = json.dumps(audit_body()).encode()
    key = (b"idempotency-key", query)
    for media_type, body in (
        (b"application/json", b'{"items": [' + record + b', {"a": "\\ud800"}]}'),
        (b"application/x-ndjson", record),
        (b"Application/X-NDJSON; charset=utf-8", b"\r\n".join([record, b"{", record])),
        (b"application/x-ndjson", b""),
        (b"text/plain", record),
    ):
        for coding, sent in (("identity", body), ("gzip", gzip.compress(body)), ("gzip", body), ("br", body)):
            headers = [(b"content-type", media_type), (b"content-encoding", coding.encode()), key]
            asked = Asked("POST", f"{AUDITS}/batch", query, headers, [sent])
            for _ in range(2):
                numbered.number += 1
                await assert_same(pair, _traced(asked, numbered.number))


async def test_a_request_leaves_nothing_to_the_garbage_collector(pair: Pair, numbered: Numbered) -> None:
    """Neither one that is served nor one that is refused."""
    record = json.dumps(audit_body()).encode()
    patch = json.dumps({"status": "failure"}).encode()
    one = f"{AUDITS}/{ID}"
    await pair[0].ask(Asked("POST", AUDITS, headers=[JSON], body=[record]))
    numbered.number += 1
    # Without this each collection looks at all that the tests before have left, which takes a second.
    gc.freeze()
    for asked in (
        Asked("GET", "/health/live"),
        Asked("GET", one),
        Asked("GET", AUDITS),
        Asked("PATCH", one, headers=[JSON], body=[patch]),
        Asked("GET", f"{AUDITS}/{UUID(int=1)}"),
        Asked("PATCH", one, headers=[JSON, (b"if-match", b'"1000"')], body=[patch]),
    ):
        # What else runs in this process may leave something in one of the rounds.
        assert min([await _left_to_collect(pair[0], asked, 10) for _ in range(3)]) == 0, asked


async def _left_to_collect(application: Application, asked: Asked, times: int) -> int:
    """Objects for each request, of those within which routes are served."""
    for _ in range(times):
        await application.ask(asked)
    gc.collect()
    gc.disable()
    try:
        for _ in range(times):
            await application.ask(asked)
        return gc.collect() // times
    finally:
        gc.enable()
