"""Exports: complete, consistent, in constant memory, and safe to open."""

import asyncio
import csv
import hashlib
import io
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from scripts.postgres import Cluster
from src.config import DatabaseSettings
from tests.application import HAS_PROC, Server, run_application, run_server
from tests.audits.factories import AUDITS, create_audit
from tests.audits.test_list import INSERT_MANY
from tests.conftest import driver_url, settings_for
from tests.outages import wait_until_blocked
from tests.wire import connect

EXPORT = f"{AUDITS}/export"


RECORDS = 100_000
TERMINATE_THE_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture(scope="module")
async def busy_server(cluster: Cluster, administrator: asyncpg.Connection) -> AsyncIterator[Server]:
    """A server with 100,000 records, which the tests only read."""
    await administrator.execute("CREATE DATABASE exports TEMPLATE app STRATEGY file_copy")
    settings = settings_for(cluster, "exports")
    connection = await asyncpg.connect(driver_url(settings))
    await connection.execute(INSERT_MANY, RECORDS)
    await connection.close()
    async with run_server(settings.database_url.get_secret_value()) as server:
        yield server
    await administrator.execute("DROP DATABASE exports WITH (FORCE)")


async def export_ndjson(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(EXPORT, params=query)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


async def test_ndjson_has_every_record_as_the_list_shows_it(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, 700)
    record = await create_audit(client, details={"a": "line\nbreak", "b": 1e308})
    response = await client.get(EXPORT)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="audits.ndjson"'
    lines = response.text.splitlines()
    assert len(lines) == 701
    assert json.loads(lines[0]) == record
    assert [json.loads(line)["entity_id"] for line in lines[1:]] == [str(number) for number in range(700, 0, -1)]


async def test_an_export_takes_the_filters_of_the_list(client: httpx2.AsyncClient) -> None:
    for number in range(4):
        await create_audit(client, entity_id=str(number), status="failure" if number % 2 else "success")
    found = await export_ndjson(client, status="failure", order="asc", format="ndjson", details="{}")
    assert [record["entity_id"] for record in found] == ["1", "3"]
    assert await export_ndjson(client, action="none.*") == []


@pytest.mark.parametrize(
    "query", [{"format": "xml"}, {"limit": 5}, {"action": "*"}, {"count": "none"}, {"summary": "maybe"}]
)
async def test_an_unsupported_query_parameter_of_an_export_gets_422(
    client_of_module: httpx2.AsyncClient, query: dict[str, Any]
) -> None:
    assert (await client_of_module.get(EXPORT, params=query)).status_code == 422


@pytest.mark.parametrize(("form", "start", "end"), [("ndjson", b"", b"\n"), ("csv", b"# ", b"\r\n")])
@pytest.mark.parametrize("records", [0, 1, 700])
async def test_the_summary_has_the_number_of_records_and_the_hash_of_the_bytes_before_it(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, form: str, start: bytes, end: bytes, records: int
) -> None:
    await connection.execute(INSERT_MANY, records)
    # Only SQL can write such an id. The record with it counts as one, although it takes two lines of CSV.
    await connection.execute("UPDATE audit SET entity_id = E'a\\nb'")
    plain = (await client.get(EXPORT, params={"format": form})).content
    assert (await client.get(EXPORT, params={"format": form, "summary": False})).content == plain
    summarized = (await client.get(EXPORT, params={"format": form, "summary": True})).content
    assert summarized.startswith(plain)
    line = summarized.removeprefix(plain)
    assert line.startswith(start)
    assert line.endswith(end)
    assert line.count(b"\n") == 1
    assert list(json.loads(line.removeprefix(start)).items()) == [
        ("complete", True),
        ("records", records),
        ("sha256", hashlib.sha256(plain).hexdigest()),
    ]


async def test_the_summary_counts_only_records_that_match_the_filters(client: httpx2.AsyncClient) -> None:
    for number in range(3):
        await create_audit(client, status="failure" if number else "success")
    *records, summary = await export_ndjson(client, status="failure", order="asc", summary="true")
    assert (len(records), summary["records"]) == (2, 2)


async def test_a_csv_reader_reads_back_every_value(client: httpx2.AsyncClient) -> None:
    awkward = 'comma, "quote" and ; é \u2028'
    event = {"source": "a,b", "event_id": '"1"'}
    record = await create_audit(client, entity_id=awkward, details={"a": 'x,"y"\n'}, correlation_id="c-1", **event)
    response = await client.get(EXPORT, params={"format": "csv"})
    assert response.headers["Content-Type"].startswith("text/csv")
    assert response.headers["Content-Disposition"] == 'attachment; filename="audits.csv"'
    assert response.text.count("\r\n") == 2
    header, row = csv.reader(io.StringIO(response.text, newline=""), strict=True)
    assert header == list(record)
    assert header[-2:] == ["source", "event_id"]
    cells = dict(zip(header, row, strict=True))
    assert json.loads(cells.pop("details")) == record["details"]
    assert cells == {name: str(value) for name, value in record.items() if name != "details"}


async def test_an_empty_csv_has_its_header(client: httpx2.AsyncClient) -> None:
    response = await client.get(EXPORT, params={"format": "csv"})
    assert response.text.startswith("id,occurred_at,")
    assert response.text.count("\r\n") == 1


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "=cmd|' /C calc'!A0",
    "-",
    '="a",1',
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(A1)",
]


@pytest.mark.parametrize("formula", FORMULAS)
async def test_cells_that_a_spreadsheet_would_run_are_escaped(client: httpx2.AsyncClient, formula: str) -> None:
    await create_audit(client, entity_id=formula, actor_id=formula, correlation_id=formula)
    assert await export_texts(client) == (f"'{formula}",) * 3
    assert await export_texts(client, csv_guard="true") == (f"'{formula}",) * 3
    assert await export_texts(client, csv_guard="false") == (formula,) * 3


@pytest.mark.parametrize("text", ["1=1", " =1", "a-b", "a@b", "'=1", "1\uff0b1", '"', ",", "a\u2028b", "%s"])
async def test_other_texts_get_no_apostrophe(client: httpx2.AsyncClient, text: str) -> None:
    await create_audit(client, entity_id=text, actor_id=text, correlation_id=text)
    assert await export_texts(client) == (text,) * 3


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "\t1", "\r1", "\n1", ""])
async def test_csv_keeps_texts_that_only_sql_can_write(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, text: str
) -> None:
    await create_audit(client, correlation_id="c")
    await connection.execute("UPDATE audit SET entity_id = $1, actor_id = $1, correlation_id = $1", text)
    guard = "'" if text.endswith("1") else ""
    assert await export_texts(client) == (f"{guard}{text}",) * 3
    (record,) = await export_ndjson(client)
    assert (record["entity_id"], record["actor_id"], record["correlation_id"]) == (text,) * 3


async def export_texts(client: httpx2.AsyncClient, **query: Any) -> tuple[str, str, str]:
    response = await client.get(EXPORT, params={"format": "csv"} | query)
    assert response.status_code == 200, response.text
    (row,) = csv.DictReader(io.StringIO(response.text, newline=""), strict=True)
    return row["entity_id"], row["actor_id"], row["correlation_id"]


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_times_have_six_digits_in_exports(client: httpx2.AsyncClient, form: str) -> None:
    record = await create_audit(client, occurred_at="2026-01-31T12:00:00Z")
    assert record["occurred_at"] == "2026-01-31T12:00:00Z"
    text = (await client.get(EXPORT, params={"format": form})).text
    assert text.count("2026-01-31T12:00:00.000000Z") == 1
    assert len(re.findall(r"T\d\d:\d\d:\d\d\.\d{6}Z", text)) == text.count("Z") == 3


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_large_numbers_have_an_exponent_in_exports_and_texts_of_digits_stay(
    client: httpx2.AsyncClient, form: str
) -> None:
    digits = str(2**64)
    await create_audit(client, entity_id=digits, details={"n": [2**63, -(2**64), 10**50, 2**53], "t": digits})
    text = (await client.get(EXPORT, params={"format": form})).text.replace('""', '"')
    assert '"n": [9.223372036854776e+18, -1.8446744073709552e+19, 1e+50, 9007199254740992]' in text
    assert text.count(digits) == 2


async def test_ndjson_has_no_character_at_which_a_reader_breaks_lines(client: httpx2.AsyncClient) -> None:
    text = "a\u2028b\u2029c \\ é"
    record = await create_audit(client, entity_id=text, details={text: [text, "\u0085"]})
    response = await client.get(EXPORT)
    (line,) = response.text.splitlines()
    assert json.loads(line)["details"] == record["details"]
    assert json.loads(line)["entity_id"] == text
    assert "é" in line


@pytest.mark.usefixtures("busy_server")
async def test_the_first_records_come_at_once_however_many_match(
    cluster: Cluster, administrator: asyncpg.Connection
) -> None:
    """A plan that sorts all records before it returns the first needs files for 100,000, which PostgreSQL refuses."""
    await administrator.execute("ALTER DATABASE exports SET temp_file_limit = 0")
    async with run_application(settings_for(cluster, "exports")) as client:
        response = await client.get(EXPORT, params={"order": "asc"})
    await administrator.execute("ALTER DATABASE exports RESET temp_file_limit")
    assert response.text.count("\n") == RECORDS


async def test_an_export_is_one_snapshot(database: DatabaseSettings, connection: asyncpg.Connection) -> None:
    await connection.execute(INSERT_MANY, 20_000)
    url = database.database_url.get_secret_value()
    async with (
        run_server(url) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
        client.stream("GET", EXPORT) as response,
    ):
        lines = response.aiter_lines()
        first = json.loads(await anext(lines))
        await connection.execute("DELETE FROM audit WHERE entity_id::int % 2 = 0")
        await connection.execute("UPDATE audit SET actor_id = 'changed'")
        others = [json.loads(line) async for line in lines]
    assert len({record["id"] for record in [first, *others]}) == 20_000
    assert {record["actor_id"] for record in others} == {"u"}


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["ndjson", "csv"])
async def test_an_export_of_100_000_records_grows_the_process_by_less_than_20_mb(
    busy_server: Server, kind: str
) -> None:
    async with httpx2.AsyncClient(base_url=busy_server.url, timeout=60) as client:
        await client.get(EXPORT, params={"format": kind, "entity_id": "1"})
        before, most, lines = busy_server.resident_bytes(), 0, 0
        async with client.stream("GET", EXPORT, params={"format": kind}) as response:
            async for chunk in response.aiter_bytes():
                lines += chunk.count(b"\n")
                most = max(most, busy_server.resident_bytes())
    assert lines == RECORDS + (kind == "csv")
    assert most - before < 20_000_000


async def test_an_export_of_large_records_takes_no_more_memory(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, 400)
    await connection.execute(
        "UPDATE audit SET details = jsonb_build_object('a', (SELECT jsonb_agg(1.5) FROM generate_series(1, 12000)))"
    )
    url = database.database_url.get_secret_value()
    async with run_server(url) as server, httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        await client.get(EXPORT, params={"entity_id": "1"})
        before, most, size = server.resident_bytes(), 0, 0
        async with client.stream("GET", EXPORT) as response:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                most = max(most, server.resident_bytes())
    assert size > 19_000_000
    assert most - before < 30_000_000


async def test_a_client_that_disconnects_ends_the_export_and_frees_its_connection(busy_server: Server) -> None:
    async with httpx2.AsyncClient(base_url=busy_server.url) as client:
        for _ in range(4):
            async with client.stream("GET", EXPORT) as response:
                await anext(response.aiter_bytes())
        assert (await client.get(EXPORT, params={"entity_id": "1"})).status_code == 200
        assert (await client.get(AUDITS)).status_code == 200


async def test_an_http_1_0_client_gets_an_export_without_chunks(
    busy_server: Server,
) -> None:
    async with connect(busy_server.url) as connection:
        await connection.send(f"GET {EXPORT} HTTP/1.0\r\n\r\n".encode())
        # This raises an error if the connection ends with a reset.
        answer = await connection.reader.read()
    fields, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in fields.lower()
    assert body.count(b"\n") == len({json.loads(line)["id"] for line in body.splitlines()}) == RECORDS


async def test_head_of_an_export_reads_no_records(busy_server: Server) -> None:
    async with httpx2.AsyncClient(base_url=busy_server.url) as client:
        started = time.monotonic()
        for _ in range(5):
            response = await client.head(EXPORT)
            assert (response.status_code, response.content) == (200, b"")
            assert response.headers["Content-Disposition"] == 'attachment; filename="audits.ndjson"'
        assert time.monotonic() - started < 10
        assert (await client.get(EXPORT, params={"entity_id": "1"})).status_code == 200


async def test_exports_that_nobody_reads_do_not_block_other_requests(busy_server: Server) -> None:
    async with (
        httpx2.AsyncClient(base_url=busy_server.url) as client,
        client.stream("GET", EXPORT),
        client.stream("GET", EXPORT),
    ):
        response = await client.get(EXPORT)
        assert (response.status_code, response.json()["code"]) == (503, "database-busy")
        assert {(await client.get(AUDITS)).status_code for _ in range(5)} == {200}


async def test_an_error_before_the_first_record_is_a_problem_document(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    settings = database.model_copy(update={"database_lock_timeout": 0.2})
    async with run_application(settings) as client, connection.transaction():
        await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        request = asyncio.create_task(client.get(EXPORT))
        await wait_until_blocked(connection)
        response = await request
    assert (response.status_code, response.json()["code"]) == (503, "database-timeout")


async def read_into(received: bytearray, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        received += chunk


async def test_a_database_connection_lost_during_an_export_aborts_it_and_logs_one_line(
    busy_server: Server, cluster: Cluster
) -> None:
    connection = await asyncpg.connect(driver_url(settings_for(cluster, "exports")))
    written = len(busy_server.lines)
    async with httpx2.AsyncClient(base_url=busy_server.url) as client:
        async with client.stream("GET", EXPORT, params={"summary": True}) as response:
            chunks = response.aiter_bytes()
            received = bytearray(await anext(chunks))
            await connection.execute(TERMINATE_THE_OTHERS)
            with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
                await read_into(received, chunks)
        assert b'"complete"' not in received
        await connection.close()
        assert (await client.get(EXPORT, params={"entity_id": "1"})).status_code == 200
        assert (await client.get(AUDITS)).status_code == 200
    log = busy_server.log()[written:]
    # The sealer and the pool may say that they have lost theirs.
    warnings = [line["message"].partition(":")[0] for line in log if line["level"] == "WARNING"]
    assert warnings.count("database-unavailable") == 1
    assert set(warnings) <= {"database-unavailable", "a connection is closed", "ledger"}
    assert not [line for line in log if line["level"] == "ERROR" or "exc_info" in line]


async def test_an_http_1_0_client_gets_a_reset_when_an_export_is_aborted(busy_server: Server, cluster: Cluster) -> None:
    connection = await asyncpg.connect(driver_url(settings_for(cluster, "exports")))
    async with connect(busy_server.url) as client:
        await client.send(f"GET {EXPORT} HTTP/1.0\r\n\r\n".encode())
        await client.reader.readline()
        await connection.execute(TERMINATE_THE_OTHERS)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
    await connection.close()


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_an_invalid_stored_record_aborts_an_export_and_the_log_does_not_quote_it(
    busy_server: Server, cluster: Cluster, form: str
) -> None:
    connection = await asyncpg.connect(driver_url(settings_for(cluster, "exports")))
    await connection.execute("ALTER TABLE audit DROP CONSTRAINT IF EXISTS audit_status_check")
    # 10,000 newer ones come before it.
    change = f"UPDATE audit SET status = $1 WHERE entity_id = '{RECORDS - 10_000}'"
    await connection.execute(change, "31415926")
    written = len(busy_server.lines)
    async with (
        httpx2.AsyncClient(base_url=busy_server.url) as client,
        client.stream("GET", EXPORT, params={"format": form}) as response,
    ):
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
            [chunk async for chunk in response.aiter_bytes()]
    await busy_server.line("stored value of an unexpected type")
    assert "31415926" not in "".join(busy_server.lines[written:])
    await connection.execute(change, "success")
    await connection.close()
