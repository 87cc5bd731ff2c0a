"""How long histograms, facets and suggestions take over skewed records, and how far estimates are off."""

import asyncio
import http.client
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg

from scripts.postgres import Cluster
from src.audits import aggregates, filters
from src.audits.aggregate_schemas import HistogramQuery
from tests.benchmarks.databases import seeded
from tests.benchmarks.programs import SERVICE
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import AUDITS, Server, cpu_seconds_of, driver_url, serve

logger = logging.getLogger(__name__)

ROUNDS = 60
_UNCOUNTED = 5
_REQUESTS = ROUNDS + _UNCOUNTED
# The target of one filter at a million records, and the bound of any, with what is around the database.
_SINGLE_MS, _BOUND_MS = 200, 450
_TARGET_ROWS = 1_000_000
SINGLE: dict[str, dict[str, Any]] = {
    "no filter": {},
    "action, common": {"action": "invoice.update"},
    "action, prefix": {"action": "invoice.*"},
    "entity_type": {"entity_type": "invoice"},
    "entity_id": {"entity_id": "E-0"},
    "actor_type, common": {"actor_type": "user"},
    "actor_id": {"actor_id": "u-1"},
    "three actors": {"actor_id": ["u-1", "u-2", "u-3"]},
    "status, 2 in 100": {"status": "failure"},
    "status, common": {"status": "success"},
    "half of the time": {"occurred_from": "2025-12-01T00:00:00Z"},
    "details": {"details": '{"tenant": "t-1"}'},
}
SEVERAL: dict[str, dict[str, Any]] = {
    "action and status": {"action": "invoice.update", "status": "failure"},
    "action and actor_id": {"action": "invoice.update", "actor_id": "u-1"},
    "entity_type and details": {"entity_type": "invoice", "details": '{"tenant": "t-1"}'},
}
COLD = ("no filter", "action, common", "action and actor_id")


def measure(cluster: Cluster, log: Path, rows: int) -> list[Figure]:
    """All of them, one at a time, at so many records."""
    url = asyncio.run(seeded(cluster, rows, is_skewed=True))
    given_up = 0
    figures = [] if rows < _TARGET_ROWS else [*_cold(cluster, url, log, rows)]
    with serve(SERVICE, url, log) as service:
        for name, query in (SINGLE | SEVERAL).items():
            logger.info("aggregates: %s", name)
            at_most = _SINGLE_MS if name in SINGLE and rows == _TARGET_ROWS else _BOUND_MS
            for kind, path in _paths(query):
                before = _database_seconds(cluster)
                times, answer, refused = _ask(service, path)
                cpu = (_database_seconds(cluster) - before) / _REQUESTS
                given_up += refused
                title = f"{kind}, {name}: p95 at {rows:,}"
                figures.append(Figure(title, "ms", times[len(times) * 95 // 100], at_most=at_most))
                figures.append(Figure(f"{kind}, {name}: CPU of PostgreSQL at {rows:,}", "ms", cpu * 1000))
                if kind == "histogram" and answer.get("relation") == "approx":
                    error = asyncio.run(_error(url, query, answer))
                    figures.append(Figure(f"histogram, {name}: error at {rows:,}", "%", error * 100))
        times, _, refused = _ask(service, f"{AUDITS}/values?field=action&prefix=in")
        figures.append(Figure(f"values, action: p95 at {rows:,}", "ms", times[len(times) * 95 // 100], at_most=50))
    return [*figures, Figure(f"aggregates at {rows:,}: 503", "", given_up + refused, at_most=0)]


def _paths(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "histogram", f"{AUDITS}/histogram?{urlencode(query, doseq=True)}"
    yield "facets", f"{AUDITS}/facets?{urlencode({**query, 'field': 'entity_type'}, doseq=True)}"


def _database_seconds(cluster: Cluster) -> float:
    """CPU that PostgreSQL's processes had so far. It says more than times where others use the machine."""
    pid = cluster.postmaster_pid()
    return sum(cpu_seconds_of(int(each)) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _ask(service: Server, path: str) -> tuple[list[float], dict[str, Any], int]:
    """The milliseconds of some requests, sorted, the last answer, and how many were 503."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    asked = [_get(connection, path) for _ in range(_REQUESTS)][_UNCOUNTED:]
    connection.close()
    answered = [answer for _, status, answer in asked if status == 200]
    times = sorted(milliseconds for milliseconds, _, _ in asked)
    return times, answered[-1] if answered else {}, ROUNDS - len(answered)


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[float, int, dict[str, Any]]:
    """The milliseconds of a request, its status and its answer."""
    started = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    milliseconds = (time.perf_counter() - started) * 1000
    if response.status not in (200, 503):
        raise SystemExit(f"bench: {path} answered {response.status}: {content[:500]!r}")
    return milliseconds, response.status, json.loads(content)


async def _error(url: str, query: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """The errors of all buckets together, as a share of what matches."""
    starts = [datetime.fromisoformat(bucket["from"]) for bucket in answer["buckets"]]
    parameters = filters.parameters(HistogramQuery.model_validate(query))
    statement = aggregates.buckets_statement(tuple(parameters))
    connection = await asyncpg.connect(driver_url(url))
    try:
        arguments = statement.arguments(parameters | {"starts": starts, "limit": 2**31 - 1})
        rows = await connection.fetch(statement.sql, *arguments)
    finally:
        await connection.close()
    true = {bucket - 1: count for bucket, count, _ in rows}
    errors = sum(abs(bucket["count"] - true.get(number, 0)) for number, bucket in enumerate(answer["buckets"]))
    return float(errors / sum(true.values()))


def _cold(cluster: Cluster, url: str, log: Path, rows: int) -> Iterator[Figure]:
    """The first request after PostgreSQL has started, without anything of its files in memory."""
    for name in COLD:
        for kind, path in _paths((SINGLE | SEVERAL)[name]):
            cluster.stop()
            _forget(cluster.data / "base")
            cluster.start()
            with serve(SERVICE, url, log) as service:
                connection = http.client.HTTPConnection("127.0.0.1", service.port)
                # A connection is open then, and PostgreSQL has read its catalogs.
                _get(connection, f"{AUDITS}/values?field=status")
                milliseconds, status, answer = _get(connection, path)
                connection.close()
            title = f"{kind}, {name}: cold, at {rows:,} ({status}, {answer.get('relation')})"
            yield Figure(title, "ms", milliseconds, at_most=_BOUND_MS)


def _forget(folder: Path) -> None:
    """Have the system drop what it holds of the files in memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
