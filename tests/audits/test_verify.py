"""`make verify` finds changes that were made without the service."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.audits.constants import Operation
from src.audits.revisions import Attribution, canonicalize, seal
from src.config import DatabaseSettings
from src.engines import create_job_engine
from src.ledger.parallel import connect
from src.ledger.verify import verify
from tests import programs
from tests.audits.factories import AUDITS, create_audit

PERMIT = "ALTER TABLE audit_revision DISABLE TRIGGER USER"
PERMIT_EVENTS = "ALTER TABLE audit_event DISABLE TRIGGER USER"


async def collect_findings(settings: DatabaseSettings) -> list[tuple[str, str]]:
    async with connect(settings) as connection:
        return [(str(audit_id), finding) async for audit_id, finding in verify(connection)]


@pytest.fixture
async def record(client: httpx2.AsyncClient) -> str:
    return await create_trail(client)


async def create_trail(client: httpx2.AsyncClient) -> str:
    """The id of a record with four versions. There are two other records: one unchanged, one deleted."""
    await create_audit(client, details={"a": [1.5, {"ä": None}], "b": 6.677e16, "c": -0.0})
    deleted = await create_audit(client)
    await client.delete(f"{AUDITS}/{deleted['id']}")
    created = await create_audit(client, details={"n": 1}, source="s", event_id="1")
    for number in range(3):
        await client.patch(f"{AUDITS}/{created['id']}", json={"details": {"n": number / 3}})
    return str(created["id"])


@pytest.fixture(scope="module")
async def record_of_module(client_of_module: httpx2.AsyncClient) -> str:
    return await create_trail(client_of_module)


async def test_an_untouched_trail_has_no_findings(record: str, database: DatabaseSettings) -> None:
    assert record
    assert await collect_findings(database) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_revision SET record = jsonb_set(record, '{action}', '\"x\"') WHERE audit_id = $1 AND version = 2",
        "UPDATE audit_revision SET record = record - 'status' WHERE audit_id = $1 AND version = 4",
        "UPDATE audit_revision SET changed_by = 'x' WHERE audit_id = $1 AND version = 1",
        "UPDATE audit_revision SET reason = 'x' WHERE audit_id = $1 AND version = 3",
        "UPDATE audit_revision SET changed_at = changed_at + interval '1 us' WHERE audit_id = $1 AND version = 3",
        "UPDATE audit_revision SET salt = '\\x00' WHERE audit_id = $1 AND version = 3",
        "UPDATE audit_revision SET hash = '\\x00' WHERE audit_id = $1 AND version = 3",
        "UPDATE audit_revision SET previous_hash = NULL WHERE audit_id = $1 AND version = 3",
        "UPDATE audit_revision SET operation = 'delete' WHERE audit_id = $1 AND version = 4",
        "DELETE FROM audit_revision WHERE audit_id = $1 AND version = 1",
        "DELETE FROM audit_revision WHERE audit_id = $1 AND version = 2",
        "DELETE FROM audit_revision WHERE audit_id = $1 AND version = 4",
        "DELETE FROM audit_revision WHERE audit_id = $1",
        "UPDATE audit_revision SET version = 5 - version + 10 WHERE audit_id = $1 AND version IN (2, 3)",
        "UPDATE audit SET status = 'failure' WHERE id = $1",
        "UPDATE audit SET details = '{\"n\": 0.66}' WHERE id = $1",
        """UPDATE audit SET details = '{"n": 0.66666666666666661}' WHERE id = $1""",
        "UPDATE audit SET occurred_at = occurred_at + interval '1 us' WHERE id = $1",
        "UPDATE audit SET version = 9 WHERE id = $1",
        "UPDATE audit SET hash = NULL WHERE id = $1",
        "DELETE FROM audit WHERE id = $1",
        "UPDATE audit SET source = NULL, event_id = NULL WHERE id = $1",
        "UPDATE audit SET event_id = '2' WHERE id = $1",
        "UPDATE audit_event SET event_id = '2' WHERE audit_id = $1",
        "UPDATE audit_event SET source = 't' WHERE audit_id = $1",
        "DELETE FROM audit_event WHERE audit_id = $1",
        "INSERT INTO audit_event VALUES ('s', '2', $1)",
        "UPDATE audit_revision SET changed_at = '0044-03-15 BC' WHERE audit_id = $1 AND version = 2",
        "UPDATE audit_revision SET changed_at = '20000-03-15' WHERE audit_id = $1 AND version = 2",
        "UPDATE audit_revision SET changed_at = 'infinity' WHERE audit_id = $1 AND version = 2",
        """UPDATE audit_revision SET record = jsonb_set(record, '{details}', '{"a": 1e400}')
           WHERE audit_id = $1 AND version = 4""",
        """UPDATE audit_revision SET record = jsonb_set(record, '{details}',
               (repeat('{"a":', 400) || '1' || repeat('}', 400))::jsonb)
           WHERE audit_id = $1 AND version = 4""",
        "UPDATE audit_revision SET record = '[]' WHERE audit_id = $1 AND version = 4",
        "UPDATE audit SET occurred_at = '20000-01-01' WHERE id = $1",
        "UPDATE audit SET updated_at = 'infinity' WHERE id = $1",
        "UPDATE audit SET recorded_at = '0044-03-15 BC' WHERE id = $1",
        """UPDATE audit SET details = '{"a": 1e400}' WHERE id = $1""",
        """UPDATE audit SET details = (repeat('{"a":', 400) || '1' || repeat('}', 400))::jsonb WHERE id = $1""",
    ],
)
async def test_verify_finds_each_record_that_was_changed_without_the_service_and_no_other(
    record_of_module: str, database_of_module: DatabaseSettings, statement: str
) -> None:
    engine = create_job_engine(database_of_module)
    # What is not committed is rolled back for the next one.
    async with engine.connect() as connection:
        await connection.exec_driver_sql(PERMIT)
        await connection.exec_driver_sql(PERMIT_EVENTS)
        changed = await connection.exec_driver_sql(statement, (record_of_module,))
        assert changed.rowcount
        found = [(str(audit_id), finding) async for audit_id, finding in verify(connection)]
    await engine.dispose()
    assert {audit_id for audit_id, _ in found} == {record_of_module}


@pytest.mark.parametrize("table", ["audit", "audit_revision"])
async def test_verify_finds_an_unknown_enumeration_value(
    record: str, database_settings: DatabaseSettings, connection: asyncpg.Connection, table: str
) -> None:
    column, key = ("status", "id") if table == "audit" else ("operation", "audit_id")
    await connection.execute(f"{PERMIT}; ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_check")
    await connection.execute(f"UPDATE {table} SET {column} = 'zap' WHERE {key} = $1", record)
    assert {audit_id for audit_id, _ in await collect_findings(database_settings)} == {record}


@pytest.mark.parametrize("stored", [2**53, -(2**60), 2**70, 1e23, 0.1, 1.0])
async def test_a_record_must_agree_with_its_snapshot_in_every_digit(
    client: httpx2.AsyncClient, database: DatabaseSettings, connection: asyncpg.Connection, stored: float
) -> None:
    record = await create_audit(client, details={"n": stored})
    await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
    assert await collect_findings(database) == []
    await connection.execute(
        "UPDATE audit SET details = jsonb_build_object('n', (details->>'n')::numeric + $1::numeric)",
        1 if abs(stored) > 2**52 else Decimal("1e-30"),
    )
    assert (await client.get(f"{AUDITS}/{record['id']}")).json()["details"]["n"] == pytest.approx(stored)
    assert await collect_findings(database) == [(record["id"], "the record is not what version 2 says")]


@pytest.mark.parametrize(("stored", "changed"), [(2**53, 2**53 + 1), (0.1, Decimal("0.1000000000000000001"))])
async def test_a_changed_number_with_the_same_double_is_found_only_by_comparison_with_the_record(
    client: httpx2.AsyncClient,
    database_settings: DatabaseSettings,
    connection: asyncpg.Connection,
    stored: float,
    changed: Decimal,
) -> None:
    record = await create_audit(client, details={"n": stored})
    await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
    await connection.execute(PERMIT)
    change = (
        "UPDATE audit_revision SET record = jsonb_set(record, '{details,n}', to_jsonb($1::numeric)) WHERE version = $2"
    )
    await connection.execute(change, changed, 1)
    assert await collect_findings(database_settings) == []
    await connection.execute(change, changed, 2)
    assert await collect_findings(database_settings) == [(record["id"], "the record is not what version 2 says")]
    await connection.execute("UPDATE audit SET details = jsonb_build_object('n', $1::numeric)", changed)
    assert await collect_findings(database_settings) == []
    await client.delete(f"{AUDITS}/{record['id']}")
    await connection.execute(change, stored, 3)
    assert await collect_findings(database_settings) == []


@pytest.mark.parametrize(
    "change",
    [
        "reason TYPE varchar(512) USING 'forged'",
        "record TYPE jsonb USING jsonb_set(record, '{actor_id}', '\"somebody\"')",
        "changed_at TYPE timestamptz USING changed_at - interval '1 day'",
        # A number that a double takes for 0, and a decimal does not take.
        """record TYPE json USING
            (left((record - 'details')::text, -1) || ', "details": {"n": 1e-99999999999999999999}}')::json""",
    ],
)
async def test_verify_finds_history_rewritten_by_alter_column_type(
    record: str, database_settings: DatabaseSettings, connection: asyncpg.Connection, change: str
) -> None:
    before = await collect_findings(database_settings)
    await connection.execute(f"ALTER TABLE audit_revision ALTER COLUMN {change}")
    found = {audit_id for audit_id, _ in await collect_findings(database_settings)}
    revised = await connection.fetch("SELECT DISTINCT audit_id::text FROM audit_revision")
    assert (before, found) == ([], {row[0] for row in revised})
    assert record in found


async def test_verify_finds_swapped_versions(
    record: str, database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute(PERMIT)
    for old, new in ((2, 20), (3, 2), (20, 3)):
        await connection.execute(
            "UPDATE audit_revision SET version = $3 WHERE audit_id = $1 AND version = $2", record, old, new
        )
    assert {audit_id for audit_id, _ in await collect_findings(database_settings)} == {record}


async def test_verify_finds_a_hidden_deletion(
    client: httpx2.AsyncClient, database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client)
    await client.delete(f"{AUDITS}/{record['id']}")
    await connection.execute(PERMIT)
    await connection.execute("DELETE FROM audit_revision WHERE operation = 'delete'")
    assert [audit_id for audit_id, _ in await collect_findings(database_settings)] == [record["id"]]


async def test_verify_finds_a_record_written_without_the_service(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    audit_id = await connection.fetchval(
        "INSERT INTO audit (id, action, entity_type, entity_id, actor_id)"
        " VALUES (gen_random_uuid(), 'a', 'b', 'c', 'd') RETURNING id::text"
    )
    assert await collect_findings(database) == [(audit_id, "the record has no revision")]


async def write_without_event(connection: asyncpg.Connection, record: dict[str, Any]) -> None:
    """Change a record as a release does that knows no events."""
    known = {name: value for name, value in record.items() if name not in ("source", "event_id")}
    previous_hash = await connection.fetchval("SELECT hash FROM audit WHERE id = $1", record["id"])
    now = datetime.now(UTC)
    changed = known | {"version": record["version"] + 1, "updated_at": now.isoformat().replace("+00:00", "Z")}
    revision = seal(changed, Operation.UPDATE, Attribution(), now, previous_hash)
    await connection.execute(
        """INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, previous_hash, hash)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        revision.audit_id, revision.version, revision.operation, now, json.dumps(changed), revision.salt,
        previous_hash, revision.hash,
    )  # fmt: skip
    await connection.execute(
        "UPDATE audit SET version = $2, updated_at = $3, hash = $4 WHERE id = $1",
        revision.audit_id, revision.version, now, revision.hash,
    )  # fmt: skip


@pytest.mark.parametrize("event", [{"source": "s", "event_id": "1"}, {}])
async def test_a_snapshot_of_a_release_without_events_agrees_with_its_record(
    client: httpx2.AsyncClient,
    database: DatabaseSettings,
    connection: asyncpg.Connection,
    event: dict[str, str],
) -> None:
    record = await create_audit(client, details={"n": 0.1}, **event)
    await write_without_event(connection, record)
    assert await collect_findings(database) == []
    patched = (await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})).json()
    assert (patched["version"], patched["source"]) == (3, event.get("source"))
    assert await collect_findings(database) == []
    await write_without_event(connection, patched)
    await connection.execute("UPDATE audit SET source = 's', event_id = '2'")
    assert [audit_id for audit_id, _ in await collect_findings(database)] == [record["id"]]


async def test_the_command_prints_each_finding_and_exits_with_1(
    record: str, database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    url = {"DATABASE_URL": database.database_url.get_secret_value()}
    result = await programs.finish(await programs.start_in_full("src.ledger.verify", **url))
    assert (result.returncode, result.stdout) == (0, "")
    assert "7 revisions read" in result.stderr
    await connection.execute("UPDATE audit SET action = 'x' WHERE id = $1", record)
    result = await programs.run("src.ledger.verify", **url)
    assert (result.returncode, result.stdout) == (1, f"{record}: the record is not what version 4 says\n")


# Numbers of every size, and numbers with few digits, as people write them.
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**6), 10**6, places=4).map(float)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | NUMBERS
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@settings(max_examples=200)
@given(JSON)
def test_orjson_and_rfc8785_write_the_same_canonical_json(value: object) -> None:
    # rfc8785 writes a value that contains a number with an exponent, here 1e-7.
    assert canonicalize(value) == canonicalize([value, 1e-7])[1:-6]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # From RFC 8785, appendix B, and numbers as PostgreSQL returns them.
        (1e21, b"1e+21"),
        (10**21, b"1e+21"),
        (6.677e16, b"66770000000000000"),
        (66770000000000000, b"66770000000000000"),
        (-0.0, b"0"),
        (5e-324, b"5e-324"),
        (1.0, b"1"),
        (333333333.33333329, b"333333333.3333333"),
        (0.000001, b"0.000001"),
        (0.0001, b"0.0001"),
        (9007199254740992.0, b"9007199254740992"),
        (-9007199254740991.0, b"-9007199254740991"),
        (1e-7, b"1e-7"),
        (
            {"\u20ac": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4, "1": 5},
            '{"\\r":2,"1":5,"\u20ac":1,"\U0001f600":3,"\ufb33":4}'.encode(),
        ),
    ],
)
def test_canonical_json_follows_rfc_8785(value: object, expected: bytes) -> None:
    assert canonicalize(value) == expected
