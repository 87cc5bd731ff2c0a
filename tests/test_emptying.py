"""The database that tests share is empty for each of them, and refuses what would change it for the others."""

import asyncpg
import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body, create_audit

TABLES = ("audit", "audit_revision", "audit_event", "audit_idempotency_key")


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_finds_no_record_and_all_that_protects_them(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, turn: int
) -> None:
    assert (await client.get(AUDITS)).json()["items"] == []
    assert [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES] == [0, 0, 0, 0]
    await create_audit(client, source="a", event_id="1")
    await client.post(AUDITS, json=audit_body(), headers={"Idempotency-Key": "k"})
    for table in ("audit_revision", "audit_event"):
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await connection.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_finds_a_new_ledger(connection: asyncpg.Connection, turn: int) -> None:
    assert await connection.fetchval("SELECT forked IS NULL AND size = 0 FROM ledger")
    await connection.execute("UPDATE ledger SET forked = 'x'; UPDATE ledger SET forked = NULL, size = 1")
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await connection.execute("DELETE FROM ledger")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit ADD COLUMN tenant text",
        "DROP INDEX audit_occurred_at_id_idx",
        "CREATE TABLE other (id int)",
        "ALTER TABLE audit_revision DISABLE TRIGGER USER",
        "REVOKE SELECT ON audit FROM PUBLIC",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
async def test_what_stays_for_other_tests_is_refused(connection: asyncpg.Connection, statement: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match="has to take database_settings"):
        await connection.execute(statement)


async def test_a_test_with_a_database_of_its_own_may_change_it(
    database_settings: object, connection: asyncpg.Connection
) -> None:
    assert await connection.execute("CREATE TABLE other (id int)") == "CREATE TABLE"


@pytest.mark.parametrize("turn", [1, 2])
async def test_settings_of_a_session_end_with_its_test(connection: asyncpg.Connection, turn: int) -> None:
    assert await connection.fetchval("SHOW session_replication_role") == "origin"
    assert await connection.fetchval("SHOW statement_timeout") == "0"
    await connection.execute("SET session_replication_role = replica; SET statement_timeout = 1000")
