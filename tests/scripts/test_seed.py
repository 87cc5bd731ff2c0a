"""`make seed` fills a trail with records that the service could have written, once."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import asyncpg
import pytest

from scripts import seed
from scripts.postgres import Cluster
from scripts.seed_episode import DAYS, SOURCE
from scripts.seed_story import tell
from src.config import DatabaseSettings
from src.engines import create_job_engine
from src.ledger.verify import verify

END = datetime(2026, 5, 29, 12, 0, tzinfo=UTC)
ROWS = 700
_CONTENT = """SELECT event_id, occurred_at, action, entity_type, entity_id, actor_type, actor_id, status, details::text,
    correlation_id, version FROM audit ORDER BY event_id"""


async def content(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(_CONTENT)]


async def findings(settings: DatabaseSettings) -> list[str]:
    engine = create_job_engine(settings)
    async with engine.connect() as connection:
        found = [str(finding) async for finding in verify(connection)]
    await engine.dispose()
    return found


async def test_the_story_is_told_once_and_a_larger_number_adds_the_rest(
    database: DatabaseSettings, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await seed.seed(database, 300)
    assert first["records"] == 300
    assert first["corrections"] > 0 < first["removals"]
    told = await content(connection)

    # Later it is another day: the story keeps its own.
    monkeypatch.setattr("src.clock.now", lambda: datetime(2040, 1, 1, tzinfo=UTC))
    assert not (await seed.seed(database, 300)).total()
    assert await content(connection) == told

    rest = await seed.seed(database, ROWS)
    assert rest["records"] == ROWS - 300
    everything = await content(connection)
    assert {*told} <= {*everything}
    assert len(everything) == ROWS - first["removals"] - rest["removals"]
    assert await connection.fetchval("SELECT count(*) FROM audit_revision") == (first + rest).total()
    assert await findings(database) == []


async def test_the_next_run_finishes_an_interrupted_one(
    database: DatabaseSettings, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = 0

    async def be_cut_off(*arguments: Any) -> bool:
        nonlocal changes
        changes += 1
        if changes == 3:
            raise KeyboardInterrupt
        return await change(*arguments)

    change = seed._change  # noqa: SLF001 (what a signal would interrupt)
    monkeypatch.setattr(seed, "_change", be_cut_off)
    with pytest.raises(KeyboardInterrupt):
        await seed.seed(database, 100)
    monkeypatch.setattr(seed, "_change", change)
    rest = await seed.seed(database, 100)
    assert rest["corrections"] + rest["removals"] > 0 == rest["records"]
    versions = await connection.fetch("SELECT audit_id, count(*) FROM audit_revision GROUP BY 1 HAVING count(*) > 1")
    story = [entry for entry in islice(tell(END), 100) if entry.changes]
    assert sorted(row["count"] for row in versions) == sorted(1 + len(entry.changes) for entry in story)


def test_a_story_depends_on_its_end_alone_and_lies_before_it() -> None:
    first, second = ([*islice(tell(END), ROWS)] for _ in range(2))
    assert first == second
    records = [entry.record for entry in first]
    times = [record.occurred_at for record in records if isinstance(record.occurred_at, datetime)]
    assert len(times) == ROWS
    assert times[0] == END - DAYS
    assert all(END - DAYS * 1.1 < time <= END for time in times)
    assert [(record.source, record.event_id) for record in records] == [(SOURCE, str(n + 1)) for n in range(ROWS)]
    assert {record.actor_type for record in records} == {"user", "service", "system", "anonymous"}
    assert {"user.login", "invoice.create", "deploy.finish", "incident.open"} <= {record.action for record in records}
    assert Counter(str(record.status) for record in records)["failure"] > ROWS / 50


def test_nothing_happens_at_the_end_of_the_story_only_because_it_ends() -> None:
    times = Counter(entry.record.occurred_at for entry in islice(tell(END), 20_000))
    assert times.most_common(1)[0][1] <= 2
    assert times[END] <= 1


def test_production_is_refused_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(SystemExit) as refused:
        seed.main(["10"])
    assert str(refused.value) == "seed: ENVIRONMENT is production, and invented records have no place there"


@pytest.mark.parametrize("rows", ["0", "-1", "many", "1e5", "٣"])
def test_a_number_of_rows_is_positive(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        seed.main(["--", rows])
    assert refused.value.code == 2
    assert f"argument rows: must be a number such as 100000, not {rows}" in capsys.readouterr().err


async def test_the_command_migrates_and_says_what_is_new(
    cluster: Cluster,
    administrator: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(seed, "_PROGRESS_EVERY", 10)
    monkeypatch.setattr(seed, "_BATCH", 10)
    await administrator.execute("CREATE DATABASE seeded")
    monkeypatch.setenv("DATABASE_URL", cluster.url("seeded"))
    for _ in range(2):
        await asyncio.to_thread(seed.main, ["30"])
    await administrator.execute("DROP DATABASE seeded WITH (FORCE)")
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seed: ")]
    assert told == [
        "seed: 10 of 30 records",
        "seed: 20 of 30 records",
        "seed: the trail has the 30 records of the story: 30 of them, 3 corrections and 1 removals are new",
        "seed: 10 of 30 records",
        "seed: 20 of 30 records",
        "seed: the trail has the 30 records of the story: 0 of them, 0 corrections and 0 removals are new",
    ]
