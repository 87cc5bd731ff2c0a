"""How long lists take in small and large tables."""

import http.client
import json
import logging
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from src.audits import listing
from src.audits.schemas import AuditQuery
from src.audits.statements import READER
from tests.benchmarks.databases import BETWEEN_RECORDS
from tests.benchmarks.programs import SERVICE
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import AUDITS, Server, fetch, serve

logger = logging.getLogger(__name__)

LIST_ROUNDS = 120
UNFILTERED = ("no filter", "oldest first", "deep cursor")
REACH_THE_CAP = (
    *UNFILTERED,
    "action, common",
    "action, prefix",
    "entity_type, common",
    "actor_type, common",
    "status, common",
    "occurred_from, half of all",
)


def filters(server: Server, rows: int) -> dict[str, dict[str, Any]]:
    """Lists, each of which an index serves.

    What is rare matches as many records in a table of any size; of what is common there are more in a larger one.
    """
    newest = _first(server, {})
    middle = datetime.fromisoformat(newest["occurred_at"]) - rows // 2 * BETWEEN_RECORDS
    (last,) = READER.read([json.dumps(_first(server, {"occurred_to": middle.isoformat()}))])
    cursor = listing.encode_list_cursor(AuditQuery(), last)
    return {
        "no filter": {},
        "oldest first": {"order": "asc"},
        "deep cursor": {"cursor": cursor},
        "action": {"action": "rare.action"},
        "action, common": {"action": "invoice.update"},
        "action, prefix": {"action": "invoice.*"},
        "entity_type": {"entity_type": "rare"},
        "entity_type, common": {"entity_type": "invoice"},
        "entity_id": {"entity_id": newest["entity_id"]},
        "actor_type": {"actor_type": "system"},
        "actor_type, common": {"actor_type": "user"},
        "actor_id": {"actor_id": newest["actor_id"]},
        "status": {"status": "pending"},
        "status, 2 in 100": {"status": "failure"},
        "status, common": {"status": "success"},
        "correlation_id": {"correlation_id": "c-7"},
        "occurred_from and occurred_to": {
            "occurred_from": "2026-05-30T00:00:00Z",
            "occurred_to": "2026-05-30T01:00:00Z",
        },
        "occurred_from, half of all": {"occurred_from": middle.isoformat()},
        "details": {"details": json.dumps({"tenant": newest["details"]["tenant"]})},
        "details, 1 in 1,000": {"details": json.dumps({"amount": {"from": 17}})},
    }


def _first(server: Server, query: Mapping[str, str]) -> dict[str, Any]:
    answer = fetch(server.port, f"{AUDITS}?{urlencode({**query, 'limit': 1, 'count': 'none'})}")
    record: dict[str, Any] = json.loads(answer)["items"][0]
    return record


def scale(urls: Mapping[int, str], log: Path) -> list[Figure]:
    """The same lists at ten thousand records and at many more; a capped count beside a hundred thousand.

    One at a time, the sizes in turn, on a connection that stays open. A list is compared without its count, because
    with a filter that has more to count where more records match, up to the cap; the count is compared where the cap is
    reached at both sizes.
    """
    figures = []
    few, medium, many = urls
    with ExitStack() as stack:
        servers = {size: stack.enter_context(serve(SERVICE, url, log)) for size, url in urls.items()}
        queries = {size: filters(server, size) for size, server in servers.items()}
        for name in queries[few]:
            logger.info("lists: %s", name)
            times = {count: _list_times(servers, queries, name, count) for count in ("none", "capped")}
            plain, capped = times["none"], times["capped"]
            figures.append(Figure(f"list, {name}: at {many:,}, beside {few:,}", "ms", plain[many], plain[few], 1.5))
            if name in UNFILTERED:
                title = f"list with its count, {name}: at {many:,}, beside {few:,}"
                figures.append(Figure(title, "ms", capped[many], capped[few], 1.5))
            if name in REACH_THE_CAP:
                title = f"list with its count, {name}: at {many:,}, beside {medium:,}"
                # A tenth for the noise of two measurements.
                figures.append(Figure(title, "ms", capped[many], capped[medium], 1.1))
    return figures


def _list_times(
    servers: Mapping[int, Server], queries: Mapping[int, dict[str, dict[str, Any]]], name: str, count: str
) -> dict[int, float]:
    """Median milliseconds of a list at each size."""
    connections = {size: http.client.HTTPConnection("127.0.0.1", server.port) for size, server in servers.items()}
    paths = {size: f"{AUDITS}?{urlencode(queries[size][name] | {'count': count})}" for size in servers}
    times: dict[int, list[float]] = {size: [] for size in servers}
    for _ in range(LIST_ROUNDS):
        for size, connection in connections.items():
            started = time.perf_counter()
            connection.request("GET", paths[size])
            response = connection.getresponse()
            answer = response.read()
            times[size].append((time.perf_counter() - started) * 1000)
            if response.status != 200 or not json.loads(answer)["items"]:
                raise SystemExit(f"bench: {paths[size]} answered {response.status}: {answer[:500]!r}")
    for connection in connections.values():
        connection.close()
    return {size: statistics.median(of_size) for size, of_size in times.items()}
