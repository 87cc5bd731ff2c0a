"""The ledger: what sealing costs, how soon it comes, proofs of a large tree, the feed, followers, and verification."""

import asyncio
import gc
import json
import logging
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from scripts.postgres import Cluster
from src.config import API_PREFIX, PROJECT_ROOT, DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger.checkpoints import Checkpoint
from src.ledger.config import LedgerSettings
from src.ledger.merkle import EMPTY_ROOT
from src.ledger.notes import SignerKey, sign_note
from src.ledger.sealer import Sealer
from src.ledger.tiles import HEIGHT, WIDTH
from tests.benchmarks import copying, programs
from tests.benchmarks.databases import fresh_copy
from tests.benchmarks.load import run
from tests.benchmarks.measures import RECORD, Call, as_expected, in_turns, settle
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import AUDITS, Program, Server, cpu_seconds_of, driver_url, fetch, serve

logger = logging.getLogger(__name__)

LEDGER = f"{API_PREFIX}/ledger"
_KEY = SignerKey("bench.example.org/ledger", bytes(range(32)))
_SETTINGS = LedgerSettings(ledger_interval=3600, ledger_origin=_KEY.name, ledger_key=SecretStr(_KEY.secret))
_CREATE = Call("create", [AUDITS], json.dumps(RECORD))

# Seconds between two turns of the sealer: the default, and more than any measurement takes.
_ON, _OFF = 1, 3600
# Long enough for several turns of the sealer.
_CREATE_SECONDS = 6
_WRITES = 500
# Until all that was written has a checkpoint, at most.
_SEALED_SECONDS = 30
_FOLLOWERS, _FOLLOWED_WRITES = 500, 20
_TREE = 10_000_000
_PROOFS = 500
_REVISIONS = int(os.environ.get("REVISIONS") or 150_000)
_BATCH = 5_000
# The last commit whose verification is of chains alone.
_BEFORE_LEDGER = "0df2b4a"

_REVISION = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    SELECT gen_random_uuid(), 1, 'create', now(), '{}', '\\x00', sha256(n::text::bytea) FROM generate_series(1, $1) AS n
"""
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_STORED = """
    SELECT sum(pg_total_relation_size(oid))::float8 FROM pg_class
    WHERE relname IN ('ledger', 'ledger_entry', 'ledger_tile', 'ledger_checkpoint')
"""
# A checkpoint is written when its entries are committed.
_DELAYS = """
    SELECT extract(epoch FROM min(checkpoint.created_at) - revision.changed_at)::float8 AS seconds
    FROM audit_revision AS revision
    JOIN ledger_entry AS entry USING (audit_id, version)
    JOIN ledger_checkpoint AS checkpoint ON checkpoint.size > entry.index AND checkpoint.size > $1
    WHERE entry.index >= $1 GROUP BY entry.index, revision.changed_at
"""
# Every tile has the same hashes: to read them takes as long as others. The entries are spread over the tree.
_TILES = f"""
    INSERT INTO ledger_tile (level, number, hashes)
    SELECT $1, number, substr($2::bytea, 1, least({WIDTH}, $3 - number * {WIDTH})::integer * 32)
    FROM generate_series(0, ($3 - 1) / {WIDTH}) AS number
"""
_ENTRIES = """
    INSERT INTO ledger_entry (index, audit_id, version, operation, hash)
    SELECT (row_number() OVER (ORDER BY audit_id) - 1) * $1, audit_id, version, operation, hash FROM audit_revision
"""


def measure(cluster: Cluster, log: Path, rows: int) -> list[Figure]:
    """`rows` is how many records there are where the service writes more."""

    def copy(name: str) -> str:
        return asyncio.run(fresh_copy(cluster, rows, name))

    figures = _creates(copy("sealed"), copy("unsealed"), log)
    figures += _delay(copy("sealed"), log)
    figures += asyncio.run(_sealing(copy("sealed")))
    figures += _proofs(copy("proved"), log)
    figures += _long_polls(copy("followed"), log)
    figures += _history(copy("verified"), log)
    for name in ("sealed", "unsealed", "proved", "followed", "verified"):
        asyncio.run(_drop(cluster, name))
    return figures


async def _drop(cluster: Cluster, name: str) -> None:
    """What was copied for the ledger alone is large."""
    administrator = await asyncpg.connect(driver_url(cluster.url("postgres")))
    try:
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await administrator.close()


async def _execute(url: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(driver_url(url))
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


def _ask(url: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    return asyncio.run(_execute(url, statement, *values))


async def _seal(url: str) -> None:
    pool = create_ledger_pool(DatabaseSettings(database_url=SecretStr(url)))
    try:
        await Sealer(partial(driver_transaction, pool), _SETTINGS).seal_all()
    finally:
        await pool.dispose()


def _serve(url: str, log: Path, interval: int) -> AbstractContextManager[Server]:
    """The service, which signs, and seals each `interval` seconds."""
    variables = {"LEDGER_ORIGIN": _KEY.name, "LEDGER_KEY": _KEY.secret, "LEDGER_INTERVAL": str(interval)}
    return serve(programs.SERVICE, url, log, workers=1, **variables)


def _creates(sealed: str, unsealed: str, log: Path) -> list[Figure]:
    """Creates that are committed to disk, while a sealer works every second, and without one."""
    logger.info("creates with sealing, and without")
    asyncio.run(_seal(sealed))
    with (
        _serve(sealed, log, _ON) as on,
        _serve(unsealed, log, _OFF) as off,
    ):
        ours, theirs = in_turns([partial(_create, server) for server in (on, off)], rounds=4)
    return [
        Figure("create with sealing on, beside off", "1/s", ours[0], theirs[0], at_least=0.92),
        Figure("create with sealing on, beside off: CPU of the service", "us", ours[1], theirs[1]),
    ]


def _create(server: Server) -> tuple[float, ...]:
    before = server.cpu_seconds()
    result = as_expected(run(_CREATE.load(server, seconds=_CREATE_SECONDS)))
    used = server.cpu_seconds() - before
    settle(server)
    return result.per_second, used / result.requests * 1e6


def _delay(url: str, log: Path) -> list[Figure]:
    """From the time of a change, which is shortly before its commit, to the checkpoint that has it."""
    logger.info("how soon %s writes a second are sealed", _WRITES)
    asyncio.run(_seal(url))
    (head,) = _ask(url, "SELECT size FROM ledger")
    with _serve(url, log, _ON) as server:
        result = as_expected(run(_CREATE.load(server, rate=_WRITES, connections=64, seconds=10)))
        _wait_until_signed(url, head["size"] + result.requests - result.errors)
    seconds = sorted(row["seconds"] for row in _ask(url, _DELAYS, head["size"]))
    if len(seconds) < result.requests - result.errors:
        raise SystemExit(f"bench: {result.requests} records were created, and {len(seconds)} sealed")
    return [
        Figure(f"sealed after commit: p99 at {_WRITES} writes/s", "s", seconds[len(seconds) * 99 // 100], at_most=2),
        Figure(f"sealed after commit: p50 at {_WRITES} writes/s", "s", statistics.median(seconds)),
    ]


def _wait_until_signed(url: str, size: int) -> None:
    deadline = time.monotonic() + _SEALED_SECONDS
    while time.monotonic() < deadline and not _ask(url, "SELECT FROM ledger_checkpoint WHERE size >= $1", size):
        time.sleep(0.1)


async def _sealing(url: str) -> list[Figure]:
    """CPU of the sealer and of its backend, with what signing takes, and what is stored."""
    logger.info("CPU of each entry sealed")
    # As the service does (src/main.py).
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    await _seal(url)
    connection = await asyncpg.connect(driver_url(url))
    pool = create_ledger_pool(DatabaseSettings(database_url=SecretStr(url)))
    sealer = Sealer(partial(driver_transaction, pool), _SETTINGS)
    try:
        costs = {}
        for at_once, rounds in ((500, 40), (2_000, 10), (20_000, 1)):
            costs[at_once] = [await _cost_of_sealing(connection, sealer, at_once) for _ in range(rounds)]
        await connection.execute("VACUUM ledger_entry, ledger_tile, ledger_checkpoint, ledger")
        stored = await connection.fetchval(_STORED) / await connection.fetchval("SELECT size FROM ledger")
    finally:
        await pool.dispose()
        await connection.close()
    figures = []
    for at_once, measured in costs.items():
        client, backend = (statistics.median(each) for each in zip(*measured, strict=True))
        target = 20 if at_once == _WRITES else None
        figures.append(Figure(f"sealing {at_once:,} at once: CPU of each", "us", client + backend, at_most=target))
        figures.append(Figure(f"sealing {at_once:,} at once: CPU of each, PostgreSQL's part", "us", backend))
    return [*figures, Figure("storage for each entry", "bytes", stored, at_most=260)]


async def _cost_of_sealing(connection: asyncpg.Connection, sealer: Sealer, count: int) -> tuple[float, float]:
    """Microseconds of each entry: of this process, and of the sealer's backend."""
    await connection.execute(_REVISION, count)
    backends = [row["pid"] for row in await connection.fetch(_BACKENDS)]
    before, started = sum(map(cpu_seconds_of, backends)), time.process_time()
    added = await sealer.seal_all()
    client, backend = time.process_time() - started, sum(map(cpu_seconds_of, backends)) - before
    if added != count:
        raise SystemExit(f"bench: {count} revisions waited, and {added} were sealed")
    return client / count * 1e6, backend / count * 1e6


def _proofs(url: str, log: Path) -> list[Figure]:
    """Proofs out of ten million entries, by a client that asks for one after the other."""
    logger.info("proofs out of %s entries", f"{_TREE:,}")
    asyncio.run(_plant_tree(url))
    paths = [f"{LEDGER}/proofs/{row['audit_id']}" for row in _ask(url, "SELECT audit_id FROM ledger_entry")]
    random.Random(1).shuffle(paths)
    proof = Call(f"inclusion proof at {_TREE:,} entries", paths)
    with _serve(url, log, _OFF) as server:
        results = []
        for _ in range(3):
            before = server.cpu_seconds()
            results.append((run(proof.load(server, connections=1)), server.cpu_seconds() - before))
            settle(server)
    return [
        Figure(f"{proof.name}: p99", "ms", statistics.median(as_expected(each).p99 for each, _ in results), at_most=10),
        Figure(f"{proof.name}: p50", "ms", statistics.median(each.p50 for each, _ in results)),
        Figure(f"{proof.name}: CPU", "us", statistics.median(cpu / each.requests for each, cpu in results) * 1e6),
    ]


async def _plant_tree(url: str) -> None:
    await _execute(url, _REVISION, _PROOFS)
    await _execute(url, _ENTRIES, _TREE // _PROOFS)
    hashes, level, count = random.Random(1).randbytes(WIDTH * 32), 0, _TREE
    while count:
        await _execute(url, _TILES, level, hashes, count)
        level, count = level + 1, count >> HEIGHT
    note = sign_note(str(Checkpoint(_KEY.name, _TREE, EMPTY_ROOT)), [_KEY])
    await _execute(url, "UPDATE ledger SET origin = $1, size = $2, root = $3", _KEY.name, _TREE, EMPTY_ROOT)
    keep = "INSERT INTO ledger_checkpoint (origin, size, root, note) VALUES ($1, $2, $3, $4)"
    await _execute(url, keep, _KEY.name, _TREE, EMPTY_ROOT, note)
    await _execute(url, "VACUUM ANALYZE")


def _long_polls(url: str, log: Path) -> list[Figure]:
    """Creates beside followers that wait, and without; each of them gets each change."""
    logger.info("%s followers that wait", _FOLLOWERS)
    asyncio.run(_seal(url))
    with _serve(url, log, _ON) as server, _serve(url, log, _ON) as alone:
        if not _knows_wait(server):
            logger.warning("/changes does not know wait: nothing is measured of it")
            return []
        before = server.memory_mb()
        with _following(server):
            time.sleep(2)
            memory = server.memory_mb() - before
            load = partial(_CREATE.load, rate=_FOLLOWED_WRITES, seconds=5)
            ours, theirs = in_turns([partial(_p95, server, load), partial(_p95, alone, load)], rounds=3)
    return [
        Figure(f"memory of {_FOLLOWERS} followers that wait", "MB", memory, at_most=60),
        Figure(f"create: p95 beside {_FOLLOWERS} followers", "ms", ours[0], theirs[0], at_most=1.2),
    ]


def _p95(server: Server, load: Any) -> tuple[float, ...]:
    return (as_expected(run(load(server))).p95,)


def _knows_wait(server: Server) -> bool:
    try:
        fetch(server.port, f"{LEDGER}/changes?wait=0")
    except SystemExit:
        return False
    return True


@contextmanager
def _following(server: Server) -> Iterator[None]:
    size = json.loads(fetch(server.port, LEDGER))["size"]
    command = [sys.executable, "-m", "tests.benchmarks.followers", str(server.port), str(_FOLLOWERS), str(size - 1)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE)
    try:
        yield
        if process.poll() is not None:
            raise SystemExit("bench: the followers have left")
    finally:
        process.communicate(timeout=30)


def _history(url: str, log: Path) -> list[Figure]:
    """The feed and the verification of records whose hashes are right."""
    for table in ("audit", "audit_event"):
        _ask(url, f"ALTER TABLE {table} DISABLE TRIGGER USER")
        _ask(url, f"DELETE FROM {table}")
    logger.info("%s revisions, sealed", f"{_REVISIONS:,}")
    copying.copy(url, RECORD, 1)
    asyncio.run(_seal(url))
    (first,) = _ask(url, "SELECT note FROM ledger_checkpoint WHERE size = 1")
    for _ in range(_REVISIONS // _BATCH):
        copying.copy(url, RECORD, _BATCH)
    asyncio.run(_seal(url))
    _ask(url, "VACUUM ANALYZE")
    return _feed(url, log) + _verification(url, first["note"])


def _feed(url: str, log: Path) -> list[Figure]:
    logger.info("the feed beside an export")
    lines = _REVISIONS // _BATCH * _BATCH + 1
    with _serve(url, log, _OFF) as server:
        paths = (f"{LEDGER}/changes/export", f"{AUDITS}/export?format=ndjson")
        ours, theirs = in_turns([partial(_export, server, path, lines) for path in paths], rounds=3)
    return [
        Figure("feed as NDJSON, beside the export of the same records", "1/s", ours[0], theirs[0], at_least=0.9),
        Figure("feed as NDJSON: CPU of each", "us", ours[1], theirs[1]),
    ]


def _export(server: Server, path: str, lines: int) -> tuple[float, ...]:
    before, started = server.cpu_seconds(), time.perf_counter()
    answered = fetch(server.port, path).count(b"\n")
    seconds = time.perf_counter() - started
    if answered != lines:
        raise SystemExit(f"bench: {path} answered {answered} lines instead of {lines}")
    return lines / seconds, (server.cpu_seconds() - before) / lines * 1e6


def _verification(url: str, first: str) -> list[Figure]:
    """Full, beside the one before the ledger; and from the first checkpoint, kept in a file."""
    logger.info("verification")
    ours = Program.of_module("src.ledger.verify")
    works = [partial(_verify, ours, url)]
    if before := programs.of_commit(_BEFORE_LEDGER, "src.audits.verify", PROJECT_ROOT / ".benchmarks" / "verify"):
        works.append(partial(_verify, before, url))
    (full, *others) = in_turns(works, rounds=3)
    theirs = others[0][0] if others else None
    target = 2 if others else None
    figures = [Figure("full verification, beside the one before the ledger", "1/s", full[0], theirs, at_least=target)]
    with tempfile.NamedTemporaryFile("w", suffix=".note") as note:
        note.write(first)
        note.flush()
        ((rate,),) = in_turns([partial(_verify, ours, url, "--since", note.name)], rounds=3)
    return [*figures, Figure("verification since a checkpoint", "1/s", rate, at_least=25_000)]


def _verify(program: Program, url: str, *options: str) -> tuple[float]:
    """Revisions a second, with the start of the process."""
    environment = {"LEDGER_ORIGIN": _KEY.name, "LEDGER_KEY": _KEY.secret, "DATABASE_URL": url}
    command: Sequence[str] = [*program.command, *options]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=program.folder, env=environment, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()[-1000:]}")
    return (_REVISIONS / seconds,)
