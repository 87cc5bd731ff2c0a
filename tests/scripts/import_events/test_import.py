"""Imports into a running service: every event comes in once, whatever fails in between."""

import asyncio
import gzip
import json
import re
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from scripts.import_events.__main__ import run
from scripts.import_events.progress import Progress
from scripts.postgres import Cluster
from src.config import PROJECT_ROOT, DatabaseSettings
from tests import programs
from tests.application import HAS_PROC, Server, run_server
from tests.conftest import driver_url, settings_for
from tests.outages import children, send
from tests.scripts.import_events.faults import Answer, Choose, Fault, faulty_proxy
from tests.scripts.import_events.test_formats import FILES

COUNTS = "SELECT count(*) AS records, count(DISTINCT event_id) AS events FROM audit WHERE source = $1"
SOURCES = (f"/test/{number}" for number in count())


@pytest.fixture(scope="module")
async def server(database_of_module: DatabaseSettings) -> AsyncIterator[Server]:
    async with run_server(database_of_module.database_url.get_secret_value()) as server:
        yield server


@pytest.fixture(scope="module")
async def trail(database_of_module: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(driver_url(database_of_module))
    yield connection
    await connection.close()


@pytest.fixture
def source() -> str:
    return next(SOURCES)


def events(source: str, number: int, **more: Any) -> list[dict[str, Any]]:
    time = "2026-01-31T12:00:00Z"
    return [
        {"specversion": "1.0", "type": "com.example.done", "source": source, "id": f"e-{index}", "time": time, **more}
        for index in range(number)
    ]


async def recorded(trail: asyncpg.Connection, source: str) -> tuple[int, int]:
    """How many records there are, and of how many events."""
    found = await trail.fetchrow(COUNTS, source)
    assert found
    return found["records"], found["events"]


async def wait_for_records(trail: asyncpg.Connection, source: str) -> int:
    while not (number := (await recorded(trail, source))[0]):
        await trail.execute("SELECT pg_sleep(0.005)")
    return number


def write_lines(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, found)))
    return path


async def import_file(url: str, path: Path, form: str = "cloudevents", patience: float = 30) -> Progress:
    """Import in this process. Fails if the import ends early."""
    progress = Progress(None)
    arguments = Namespace(format=form, files=[str(path)], url=url, patience=patience, dry_run=False)
    assert await asyncio.to_thread(run, arguments, progress) is None
    return progress


async def import_by_command(*arguments: str | Path) -> programs.Done:
    return await programs.run("scripts.import_events", *map(str, arguments))


@pytest.mark.parametrize("form", FILES)
async def test_every_sample_comes_in_and_a_second_time_makes_no_record(server: Server, form: str) -> None:
    first = await import_file(server.url, FILES[form], form)
    second = await import_file(server.url, FILES[form], form)
    assert first.numbers == {"new": first.numbers["new"]}
    assert second.numbers == {"known": first.numbers["new"]}


async def test_what_was_exported_can_be_imported(server: Server, trail: asyncpg.Connection, tmp_path: Path) -> None:
    await import_file(server.url, FILES["kubernetes"], "kubernetes")
    before = await trail.fetchval("SELECT count(*) FROM audit")
    exported = tmp_path / "export.ndjson"
    process = await asyncio.create_subprocess_exec(
        *("curl", "-s", "-o", exported, f"{server.url}/api/v1/audits/export?source=kubernetes&summary=true")
    )
    await process.wait()
    progress = await import_file(server.url, exported, "export")
    assert progress.numbers.keys() == {"known"}
    assert await trail.fetchval("SELECT count(*) FROM audit") == before


async def test_gzip_from_the_standard_input_comes_in(server: Server, trail: asyncpg.Connection, source: str) -> None:
    packed = gzip.compress(json.dumps(events(source, 3)).encode())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.import_events", "cloudevents", "-", "--url", server.url),
        cwd=PROJECT_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(packed)
    assert (process.returncode, out) == (0, b"")
    assert b"3 events: 3 new, 0 recorded before, 0 refused" in err
    assert await recorded(trail, source) == (3, 3)


async def test_two_events_with_one_id_both_come_in_and_one_says_so(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "events", [*events(source, 2), *events(source, 1, data="another content")])
    first, second = [await import_file(server.url, path) for _ in range(2)]
    assert (first.numbers, second.numbers) == ({"new": 3}, {"known": 3})
    assert await recorded(trail, source) == (3, 3)
    noted = await trail.fetch("SELECT event_id FROM audit WHERE source = $1 AND details ? '_import'", source)
    assert [len(row["event_id"]) for row in noted] == [len("e-0~") + 32]


async def test_an_event_of_which_another_record_was_made_is_not_recorded_again(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path
) -> None:
    """As by an earlier importer, which mapped it in another way."""
    event = events(source, 1)[0]
    body = {"action": "a", "entity_type": "e", "entity_id": "i", "actor_id": "u", "details": event}
    async with httpx2.AsyncClient(base_url=server.url) as client:
        created = await client.post("/api/v1/audits", json=body | {"source": source, "event_id": "e-0"})
    assert created.status_code == 201
    progress = await import_file(server.url, write_lines(tmp_path / "events", [event]))
    assert progress.numbers == {"known": 1}
    assert await recorded(trail, source) == (1, 1)


async def test_what_is_refused_is_written_down_and_everything_else_comes_in(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path
) -> None:
    good = events(source, 4)
    async with httpx2.AsyncClient(base_url=server.url) as client:
        body = {"action": "a", "entity_type": "e", "entity_id": "i", "actor_id": "u", "source": source, "event_id": "x"}
        removed = (await client.post("/api/v1/audits", json=body)).json()
        await client.delete(f"/api/v1/audits/{removed['id']}")
    path = write_lines(tmp_path / "events", [*good, good[2] | {"id": "x"}])
    path.write_text(path.read_text() + '\n{"id": \n[7]\n')
    missing, errors = tmp_path / "missing", tmp_path / "errors"
    status, _, err = await import_by_command("cloudevents", path, missing, "--url", server.url, "--errors", errors)
    assert status == 1
    assert "4 new, 0 recorded before, 4 refused" in err
    written = [json.loads(line) for line in errors.read_text().splitlines()]
    by_line = {(Path(entry["file"]).name, entry["line"]): entry for entry in written}
    assert by_line.keys() == {("events", 5), ("events", 6), ("events", 7), ("missing", 0)}
    assert by_line["events", 5]["problem"]["code"] == "event-already-recorded"
    assert by_line["events", 5]["content"]["details"]["id"] == "x"
    assert await recorded(trail, source) == (4, 4)


async def test_a_wrong_format_records_nothing(server: Server, trail: asyncpg.Connection, tmp_path: Path) -> None:
    before = await trail.fetchval("SELECT count(*) FROM audit")
    path = write_lines(tmp_path / "events", [{"foo": number} for number in range(1_500)])
    status, _, err = await import_by_command("github", path, "--url", server.url)
    assert status == 1
    assert "nothing was recorded: no event has an action or an id where GitHub audit log has them" in err
    assert await trail.fetchval("SELECT count(*) FROM audit") == before


async def test_a_dry_run_prints_the_records_and_sends_nothing(source: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "events", events(source, 2))
    status, out, _ = await import_by_command("cloudevents", path, "--url", "http://127.0.0.1:1", "--dry-run")
    assert status == 0
    assert [json.loads(line)["event_id"] for line in out.splitlines()] == ["e-0", "e-1"]


async def test_after_a_kill_in_the_middle_every_event_is_there_once(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path
) -> None:
    number = 4_500
    path = write_lines(tmp_path / "events", events(source, number))
    command = ("scripts.import_events", "cloudevents", str(path), "--url", server.url)
    process = await programs.start(*command)
    before = await wait_for_records(trail, source)
    process.kill()
    await process.wait()
    assert before < number
    progress = await import_file(server.url, path)
    assert progress.numbers["new"] + progress.numbers["known"] == number
    assert progress.numbers["known"] >= before
    assert await recorded(trail, source) == (number, number)


async def test_a_database_that_is_killed_in_the_middle_costs_no_event(
    own_cluster: Cluster, source: str, tmp_path: Path
) -> None:
    number = 4_000
    path = write_lines(tmp_path / "events", events(source, number))
    await asyncio.to_thread(own_cluster.start)
    async with run_server(own_cluster.url("app")) as server:
        connection = await asyncpg.connect(driver_url(settings_for(own_cluster)))
        importing = asyncio.create_task(import_file(server.url, path, patience=60))
        await wait_for_records(connection, source)
        postmaster = own_cluster.postmaster_pid()
        assert postmaster
        send(signal.SIGKILL, [postmaster, *children(postmaster)])
        connection.terminate()
        await asyncio.to_thread(own_cluster.start)
        progress = await importing
        assert progress.numbers["new"] + progress.numbers["known"] == number
        connection = await asyncpg.connect(driver_url(settings_for(own_cluster)))
        assert await recorded(connection, source) == (number, number)
        await connection.close()


async def through_faults(server: Server, path: Path, choose: Choose) -> tuple[Progress, list[float]]:
    """Import through a proxy. Returns when it got each request, too."""
    async with faulty_proxy(server.url, choose) as proxy:
        return await import_file(proxy.url, path), proxy.times


async def test_a_503_is_sent_again_when_it_says_so(server: Server, source: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "events", events(source, 3))
    progress, times = await through_faults(server, path, lambda number, _: None if number else Answer(503, "1"))
    assert progress.numbers == {"new": 3}
    assert 1 <= times[1] - times[0] < 3


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Answer(502), Answer(429), Answer(503, "x")])
async def test_what_gets_lost_on_the_way_is_sent_again(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path, fault: Fault | Answer
) -> None:
    path = write_lines(tmp_path / "events", events(source, 5))
    progress, times = await through_faults(server, path, lambda number, _: fault if number < 2 else None)
    assert len(times) == 3
    assert progress.numbers == ({"known": 5} if fault is Fault.LOST_ANSWER else {"new": 5})
    assert await recorded(trail, source) == (5, 5)


async def test_a_batch_that_is_too_large_is_sent_in_halves(
    server: Server, trail: asyncpg.Connection, source: str, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "events", [*events(source, 40), events(source, 41, data="x" * 9_000)[40]])
    progress, _ = await through_faults(server, path, lambda _, body: Answer(413) if len(body) > 8_000 else None)
    assert progress.numbers == {"new": 40, "refused": 1}
    assert await recorded(trail, source) == (40, 40)


async def test_an_answer_that_no_retry_changes_ends_the_import(source: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "events", events(source, 1))
    async with faulty_proxy("", lambda _number, _body: Answer(404)) as proxy:
        status, _, err = await import_by_command("cloudevents", path, "--url", proxy.url)
    assert status == 1
    assert "answers 404" in err
    assert "Traceback" not in err


async def test_an_import_ends_when_the_service_does_not_answer(source: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "events", events(source, 1))
    status, _, err = await import_by_command("cloudevents", path, "--url", "http://127.0.0.1:1", "--patience", "0.5")
    assert status == 1
    assert "ConnectError" in err
    assert "ended early" in err
    assert "Traceback" not in err


@pytest.mark.skipif(not HAS_PROC, reason="reads Linux's /proc")
async def test_memory_does_not_grow_with_the_file(source: str, tmp_path: Path) -> None:
    """One array on one line, ten times as long."""
    peaks = []
    for number in (1_000, 10_000):
        path = tmp_path / "events"
        path.write_text(json.dumps(events(source, number, data="x" * 300)))
        program = "import runpy, sys\ntry: runpy.run_module('scripts.import_events', run_name='__main__')\n"
        program += "finally: print(open('/proc/self/status').read(), file=sys.stderr)"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, "cloudevents", path, "--dry-run"),
            cwd=PROJECT_ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        peak = re.search(rb"VmHWM:\s+(\d+) kB", err)
        assert peak
        peaks.append(int(peak[1]))
    assert peaks[1] - peaks[0] < 1_500  # KiB; the second file is 4 MB larger
