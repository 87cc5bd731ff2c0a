"""What is measured, and what is aimed at.

The service and its reference take turns, in several short rounds, every second one in reverse order, and the median of
the rounds counts: whatever else the machine does meanwhile falls on both.
"""

import json
import logging
import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from tests.benchmarks import copying
from tests.benchmarks.load import Load, Result, run
from tests.benchmarks.programs import EMPTY, SERVICE
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import AUDITS, Program, Server, fetch, limited_to, postgres_seconds, serve

logger = logging.getLogger(__name__)

ROUNDS, SECONDS = 5, 2
CONNECTIONS = 32
RATE = 200  # requests a second: below what two cores can do with PostgreSQL and the generator beside the server
# What each worker may have of a core, so that PostgreSQL and the generator have as much as they need.
_QUOTA = 0.2
_WORKERS_CONNECTIONS = 64
BATCH_ITEMS = 1000
_TOLERATED = 0.01
_SETTLE_SECONDS = 10
_IDLE_SECONDS = 0.005  # of CPU in a tenth of a second: timers and the like
RECORD = {
    "action": "invoice.update",
    "entity_type": "invoice",
    "entity_id": "INV-2026-0042",
    "actor_id": "u-17",
    "occurred_at": "2026-01-31T12:00:00Z",
    "details": {"ip": "10.0.17.4", "amount": {"from": 100, "to": 120}, "tenant": "t-4", "note": "corrected by hand"},
    "correlation_id": "req-7f3a",
}


@dataclass(frozen=True)
class Call:
    name: str
    paths: Sequence[str]
    body: str | None = None
    method: str | None = None
    if_match: str | None = None
    refused: bool = False

    def load(self, server: Server, **changes: Any) -> Load:
        request = {"body": self.body, "method": self.method, "if_match": self.if_match}
        given: dict[str, Any] = {"connections": CONNECTIONS, "seconds": SECONDS} | request | changes
        return Load(server.port, self.paths, **given)


LIVE = Call("/health/live", ["/health/live"])
HEALTH = Call("/health", ["/health"])


def calls(server: Server) -> list[Call]:
    """The calls that are measured beside the baseline; creating comes last, since it changes what the others read."""
    items = json.loads(fetch(server.port, f"{AUDITS}?limit=50"))["items"]
    return [
        Call("read by id", [f"{AUDITS}/{item['id']}" for item in items]),
        Call("first page of 20", [AUDITS]),
        Call("create", [AUDITS], json.dumps(RECORD)),
    ]


def check_same_answers(service: Server, baseline: Server) -> None:
    """A baseline that answers something else measures nothing."""
    for call in calls(service):
        body = call.body.encode() if call.body else None
        one, other = (_comparable(fetch(server.port, call.paths[0], body)) for server in (service, baseline))
        cursors = [page.pop("next_cursor", None) for page in (one, other)]
        if one != other or not _continue_alike(service, cursors):
            raise SystemExit(f"bench: {call.name}: the service and the baseline do not answer the same")
    one, other = (_lines(fetch(server.port, f"{AUDITS}/export?format=ndjson")) for server in (service, baseline))
    if one != other:
        raise SystemExit("bench: export: the service and the baseline do not answer the same")


def _comparable(answer: bytes) -> Any:
    """Times are written in three ways, and of what is new ids and times differ."""
    value = json.loads(answer.replace(b"+00:00", b"Z").replace(b".000000Z", b"Z"))
    if "id" in value and value["action"] == RECORD["action"] and value["entity_id"] == RECORD["entity_id"]:
        return value | dict.fromkeys(("id", "recorded_at", "updated_at"))
    return value


def _continue_alike(service: Server, cursors: list[str | None]) -> bool:
    """Cursors write their time in two ways too; the service has to take both for the same place."""
    one, other = (fetch(service.port, f"{AUDITS}?cursor={cursor}") if cursor else None for cursor in cursors)
    return one == other


def _lines(answer: bytes) -> list[Any]:
    return [_comparable(line) for line in answer.splitlines()]


def parts(service: Server, baseline: Server, url: str, log: Path) -> list[Figure]:
    """CPU of an empty answer, from the server alone to all that surrounds a request here."""
    logger.info("cost of /health/live, and of what is around it")
    with (
        serve(EMPTY, url, log, BARE="yes") as bare,
        serve(EMPTY, url, log, LOG_LEVEL="WARNING") as silent,
        serve(EMPTY, url, log) as empty,
    ):
        none, framework, middleware, logged, live = _costs(LIVE, baseline, bare, silent, empty, service)
    return [
        Figure("empty answer, raw ASGI: CPU", "us", none[0]),
        Figure("empty answer, FastAPI: CPU", "us", framework[0]),
        Figure("empty answer, FastAPI behind the middleware, log off: CPU", "us", middleware[0]),
        Figure("empty answer, FastAPI behind the middleware, log on: CPU", "us", logged[0]),
        Figure("/health/live, beside an empty FastAPI route: CPU", "us", live[0], logged[0], 1.2),
        Figure("/health/live, beside an empty FastAPI route: throughput", "1/s", live[1], logged[1]),
    ]


def _costs(call: Call, *servers: Server) -> list[list[float]]:
    """CPU microseconds of a request, and requests per second, of each server."""
    return in_turns([partial(cpu, server, call) for server in servers])


def cpu(server: Server, call: Call) -> tuple[float, float]:
    """CPU microseconds of a request, and requests per second."""
    before = server.cpu_seconds()
    result = as_expected(run(call.load(server)), refused=call.refused)
    used = server.cpu_seconds() - before
    settle(server)
    return used / result.requests * 1e6, result.per_second


def settle(server: Server) -> None:
    """Wait for what a load leaves behind, so that nothing of it falls on the next: 100 clients after 100 are 200."""
    deadline, before = time.monotonic() + _SETTLE_SECONDS, 0.0
    while server.cpu_seconds() - before > _IDLE_SECONDS:
        before = server.cpu_seconds()
        if time.monotonic() > deadline:
            raise SystemExit("bench: a server goes on working when its clients have left")
        time.sleep(0.1)


def as_expected(result: Result, *, refused: bool = False) -> Result:
    """A figure made of failures is none; a machine that stalled for a moment is said and lived with."""
    unexpected = result.requests - result.errors if refused else result.errors
    if unexpected > result.requests * _TOLERATED:
        raise SystemExit(f"bench: {unexpected} of {result.requests} requests ended as they should not")
    if unexpected:
        logger.warning("%s of %s requests ended as they should not", unexpected, result.requests)
    return result


def in_turns(work: Sequence[Callable[[], tuple[float, ...]]], rounds: int = ROUNDS) -> list[list[float]]:
    """The median of each figure that each of them gives."""
    results = []
    for number in range(rounds):
        step = 1 if number % 2 == 0 else -1
        results.append([measure() for measure in work[::step]][::step])
    return [
        [statistics.median(figure) for figure in zip(*of_one, strict=True)] for of_one in zip(*results, strict=True)
    ]


def latency(service: Server, baseline: Server) -> list[Figure]:
    """How long callers wait at a fixed rate."""
    figures = []
    for call in calls(service):
        logger.info("latency of %s at %s/s", call.name, RATE)
        ours, theirs = in_turns(
            [partial(_percentiles, server, call) for server in (service, baseline)],
            rounds=3,
        )
        for name, our, their in zip(("p50", "p95", "p99"), ours, theirs, strict=True):
            figures.append(Figure(f"{call.name}: {name} at {RATE}/s", "ms", our, their))
    return figures


def _percentiles(server: Server, call: Call) -> tuple[float, ...]:
    result = as_expected(run(call.load(server, rate=RATE)))
    settle(server)
    return result.p50, result.p95, result.p99


def crowd(service: Server) -> list[Figure]:
    """The numbers of the specification, with 100 clients that ask again at once; records are added at the end."""
    _, page, create = calls(service)
    figures, errors = [], 0
    for call, percentile, bound in ((HEALTH, "p99", 100), (page, "p95", 200), (create, "p95", 500)):
        logger.info("100 clients: %s", call.name)
        results = []
        for _ in range(3):
            results.append(run(call.load(service, connections=100)))
            settle(service)
        errors += sum(result.errors for result in results)
        value = statistics.median(getattr(result, percentile) for result in results)
        figures.append(Figure(f"{call.name}: {percentile} with 100 clients", "ms", value, at_most=bound))
    return [*figures, Figure("errors with 100 clients", "", errors, at_most=0)]


def batch(service: Server, database_url: str) -> list[Figure]:
    logger.info("batches of %s, and COPY", BATCH_ITEMS)
    body = json.dumps({"items": [RECORD] * BATCH_ITEMS}).encode()

    def post() -> tuple[float]:
        started = time.perf_counter()
        fetch(service.port, f"{AUDITS}/batch", body)
        return (BATCH_ITEMS / (time.perf_counter() - started),)

    def copy() -> tuple[float]:
        return (BATCH_ITEMS / copying.copy(database_url, RECORD, BATCH_ITEMS),)

    rounds = 15
    before = service.cpu_seconds()
    (ours,), (theirs,) = in_turns([post, copy], rounds)
    cpu = (service.cpu_seconds() - before) / (rounds * BATCH_ITEMS) * 1e6
    return [
        Figure("batch of 1,000, beside COPY", "records/s", ours, theirs, at_least=0.45),
        Figure("batch of 1,000: CPU of each record", "us", cpu),
    ]


def export(service: Server, baseline: Server, records: int) -> list[Figure]:
    figures = []
    for form, at_least in (("ndjson", 0.65), ("csv", 0.45)):
        logger.info("export as %s, and a cursor", form)
        path = f"{AUDITS}/export?format={form}"
        header_lines = 1 if form == "csv" else 0  # of the service's
        ours, theirs = in_turns(
            [
                partial(_export, service, path, records, records + header_lines),
                partial(_export, baseline, path, records, records),
            ]
        )
        figures.append(Figure(f"export as {form}, beside a cursor", "records/s", ours[0], theirs[0], at_least=at_least))
        figures.append(Figure(f"export as {form}: CPU of each record", "us", ours[1], theirs[1]))
    return figures


def _export(server: Server, path: str, records: int, lines: int) -> tuple[float, ...]:
    before, started = server.cpu_seconds(), time.perf_counter()
    answered = fetch(server.port, path).count(b"\n")
    seconds = time.perf_counter() - started
    if answered != lines:
        raise SystemExit(f"bench: {path} answered {answered} lines instead of {lines}")
    return records / seconds, (server.cpu_seconds() - before) / records * 1e6


def workers(database_url: str, log: Path) -> list[Figure]:
    """Two workers beside one: with a part of a core for each, and with all cores there are.

    With all cores, PostgreSQL and the generator take a part of what a second worker would need: the most that two can
    give follows from the CPU that a request takes of all of them.
    """
    figures, database = [], str(make_url(database_url).database)
    with ExitStack() as stack:
        one, two = (stack.enter_context(serve(SERVICE, database_url, log, workers=count)) for count in (1, 2))
        for call in (LIVE, calls(one)[0]):
            logger.info("two workers: %s", call.name)
            ours, theirs = in_turns([partial(_limited, server, call) for server in (two, one)])
            each = f"{call.name}: two workers beside one, {_QUOTA:.0%} of a core for each"
            figures.append(Figure(each, "1/s", ours[0], theirs[0], at_least=1.7))
            ours, theirs = in_turns([partial(_shares, server, call, database) for server in (two, one)])
            figures.append(Figure(f"{call.name}: two workers beside one, all cores", "1/s", ours[0], theirs[0]))
            most = (_most(shares, count) for shares, count in ((ours, 2), (theirs, 1)))
            figures.append(Figure(f"{call.name}: the same, at most, by CPU of a request", "1/s", *most))
            figures.append(
                Figure(f"{call.name}: two workers beside one, by CPU", "1/CPU-s", 1 / ours[2], 1 / theirs[2])
            )
            figures.append(Figure(f"{call.name}: part of the busier of two workers", "", ours[1]))
    return figures


def _most(shares: Sequence[float], workers: int) -> float:
    """Requests per second, if nothing waited, and nothing else ran on this machine."""
    own, *others = shares[2:]
    return min(workers / own, (os.cpu_count() or 1) / (own + sum(others)))


def _limited(server: Server, call: Call) -> tuple[float]:
    """Requests per second, with `_QUOTA` of a core for each worker."""
    with limited_to(_QUOTA, server.processes):
        result = as_expected(run(call.load(server, connections=_WORKERS_CONNECTIONS)))
    settle(server)
    return (result.per_second,)


def _shares(server: Server, call: Call, database: str) -> tuple[float, ...]:
    """Requests per second; the busiest worker's part of what all workers do; CPU of a request of these, and of others.

    These are the load, whose start is in its part where it is Python's, and PostgreSQL.
    """
    before, load, postgres = server.cpu_seconds_each(), _load_seconds(), postgres_seconds(database)
    result = as_expected(run(call.load(server, connections=_WORKERS_CONNECTIONS)))
    each = [after - first for after, first in zip(server.cpu_seconds_each(), before, strict=True)]
    shares = (sum(each), _load_seconds() - load, postgres_seconds(database) - postgres)
    settle(server)
    return (result.per_second, max(each) / sum(each), *(share / result.requests for share in shares))


def _load_seconds() -> float:
    """CPU of the processes that this one has waited for: the generators."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def start(database_url: str, log: Path, earlier: Program | None) -> list[Figure]:
    """From nothing to the first answer, and what a worker holds then: of the service, and of an earlier build."""
    logger.info("start and idle memory")
    ours, *theirs = in_turns([partial(_start, program, database_url, log) for program in (SERVICE, earlier) if program])
    figures = [
        Figure("start to the first answer", "s", ours[0], at_most=2),
        Figure("idle memory of a worker", "MB", ours[2], at_most=120),
    ]
    for seconds, cpu_seconds, memory in theirs:
        figures += [
            Figure("start to the first answer, beside the earlier build", "s", ours[0], seconds),
            Figure("start to the first answer, beside the earlier build: CPU", "s", ours[1], cpu_seconds, at_most=1),
            Figure("idle memory of a worker, beside the earlier build", "MB", ours[2], memory, at_most=1),
        ]
    return figures


def _start(program: Program, database_url: str, log: Path) -> tuple[float, ...]:
    with serve(program, database_url, log) as server:
        return server.seconds_to_first_answer, server.cpu_seconds(), server.memory_mb()


def peak_memory(service: Server) -> Figure:
    """Without a reference: the baseline imports the service's statements, and with them most of what it holds."""
    return Figure("peak memory", "MB", service.memory_mb("VmHWM"))
