"""`make bench`: measure, print one table, and compare with what the last run has stored.

`ROWS=1000000` also measures lists in a table of so many records, beside those of 10,000 and 100,000, and histograms and
facets of so many. `PARTS=yes` also measures the service beside itself without each part of the fast path. `LEDGER=only`
measures nothing but the ledger, `AGGREGATES=only` nothing but histograms, facets and suggestions, `EXPLORER=only`
nothing but the explorer in Chromium, beside sqladmin, `SCALING=only` nothing but two workers beside one, and start and
memory beside an earlier build.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from scripts.postgres import Cluster, postgres
from src.config import PROJECT_ROOT, FastPath
from tests.benchmarks import aggregates, cost, explorer, ledger, lists, measures, programs, report, streams
from tests.benchmarks.databases import fresh_copy, seeded
from tests.benchmarks.load import GENERATOR
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import Program, Server, serve

FOLDER = PROJECT_ROOT / ".benchmarks"
FEW, MANY = 10_000, 100_000
# What can be measured alone.
_PARTS = ("ledger", "aggregates", "explorer", "scaling")


def main() -> None:
    logging.basicConfig(format="bench: %(message)s", level=logging.INFO, stream=sys.stderr)
    for name in ("alembic", "src"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # As an exception, so that the servers are ended too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows = _rows()
    FOLDER.mkdir(exist_ok=True)
    log = FOLDER / "server.log"
    log.unlink(missing_ok=True)
    only = next((name for name in _PARTS if os.environ.get(name.upper()) == "only"), None)
    results = FOLDER / f"results-{only or rows}-{GENERATOR}.json"
    last = report.load_last(results)
    if (PROJECT_ROOT / ".env").exists():
        logger.warning("the servers read .env too: what is measured may not be the defaults")
    started = time.monotonic()
    with postgres(FOLDER / "postgres") as cluster:
        figures = _measure(only, cluster, log, rows)
    facts = report.machine() | {"generator": GENERATOR, "rows": rows, "seconds": round(time.monotonic() - started)}
    report.store(results, figures, facts)
    sys.stdout.write(f"\n{report.table(figures, last)}\n\n{report.summary(figures)}\n")
    if rows == FEW and only is None:
        sys.stdout.write("The targets of lists in a large table were not measured: ROWS=1000000 make bench\n")
    logger.info("%s s in all; stored in %s", facts["seconds"], results.relative_to(PROJECT_ROOT))


def _measure(only: str | None, cluster: Cluster, log: Path, rows: int) -> list[Figure]:
    if only == "explorer":
        return explorer.measure(cluster, log, rows)
    if only == "scaling":
        url = asyncio.run(fresh_copy(cluster, FEW, "measured"))
        return measures.start(url, log, _earlier()) + measures.workers(url, log)
    figures = [] if only else _at_ten_thousand(cluster, log)
    if only != "aggregates":
        figures += ledger.measure(cluster, log, FEW)
        figures += _at_many(cluster, log, rows) if rows > FEW else []
    if only != "ledger":
        for size in sorted({FEW, rows}):
            figures += aggregates.measure(cluster, log, size)
    return figures


def _rows() -> int:
    given = os.environ.get("ROWS") or str(FEW)
    if given.isdecimal() and (int(given) == FEW or int(given) > MANY):
        return int(given)
    raise SystemExit(f"bench: ROWS={given}: give {FEW}, which is the default, or more than {MANY}")


def _at_ten_thousand(cluster: Cluster, log: Path) -> list[Figure]:
    url = asyncio.run(fresh_copy(cluster, FEW, "measured"))
    figures = measures.start(url, log, _earlier())
    with serve(programs.SERVICE, url, log) as service, serve(programs.BASELINE, url, log) as baseline:
        measures.check_same_answers(service, baseline)
        figures += measures.parts(service, baseline, url, log)
        figures += _cost(service, baseline, url, log)
        figures += measures.latency(service, baseline)
        figures += measures.batch(service, url)
        figures.append(measures.peak_memory(service))
    crowded = asyncio.run(fresh_copy(cluster, FEW, "crowded"))
    with serve(programs.SERVICE, crowded, log) as service:
        figures += measures.crowd(service)
    figures += streams.measure(url, log)
    figures += measures.workers(url, log)
    many = asyncio.run(seeded(cluster, MANY))
    with serve(programs.SERVICE, many, log) as service, serve(programs.BASELINE, many, log) as baseline:
        return figures + measures.export(service, baseline, MANY)


def _earlier() -> Program | None:
    return programs.earlier(FOLDER / "earlier")


def _cost(service: Server, baseline: Server, url: str, log: Path) -> list[Figure]:
    others = {"earlier": _earlier(), "fastify": programs.fastify()}
    with ExitStack() as stack:
        servers = {"service": service, "baseline": baseline}
        servers["resetting"] = stack.enter_context(serve(programs.BASELINE, url, log, POOL_RESET="yes"))
        servers["plain"] = stack.enter_context(serve(programs.SERVICE, url, log, FAST_PATHS="none"))
        for name, program in others.items():
            if program:
                servers[name] = stack.enter_context(serve(program, url, log))
        figures = cost.measure(servers)
    return figures + (_cost_without_each_part(service, url, log) if os.environ.get("PARTS") else [])


def _cost_without_each_part(service: Server, url: str, log: Path) -> list[Figure]:
    figures: list[Figure] = []
    for part in FastPath:
        others = ",".join(set(FastPath) - {part})
        with serve(programs.SERVICE, url, log, FAST_PATHS=others) as without:
            figures += cost.of_part(part, service, without)
    return figures


def _at_many(cluster: Cluster, log: Path, rows: int) -> list[Figure]:
    return lists.scale({size: asyncio.run(seeded(cluster, size)) for size in (FEW, MANY, rows)}, log)


logger = logging.getLogger("bench")

if __name__ == "__main__":
    main()
