"""Migrations can be upgraded, downgraded and upgraded again without loss, and can run twice at the same time."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic import command

from scripts.postgres import Cluster
from src.config import PROJECT_ROOT, DatabaseSettings
from src.migrations import MIGRATION_LOCK
from src.models import metadata
from src.schema_revisions import load_schema_revisions
from tests import programs
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.audits.test_verify import collect_findings
from tests.conftest import driver_url, migrate, settings_for

TABLES = """
    SELECT schemaname || '.' || tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""
# tgenabled is A for a trigger that is always enabled, so that replication fires it too.
GUARDS = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
# Migrations that have tried to get the lock.
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'pg_try_advisory|ROLLBACK'
"""
INSERT = """
    INSERT INTO audit (id, action, entity_type, entity_id, actor_id, details)
    SELECT gen_random_uuid(), 'a', 'e', n::text, 'u', '{"n": 1}' FROM generate_series(1, 100) AS n
"""


@pytest.fixture
async def empty_database(cluster: Cluster, administrator: asyncpg.Connection) -> AsyncIterator[DatabaseSettings]:
    """A database without any migration."""
    await administrator.execute("CREATE DATABASE unmigrated")
    yield settings_for(cluster, "unmigrated")
    await administrator.execute("DROP DATABASE unmigrated WITH (FORCE)")


async def read_all(connection: asyncpg.Connection) -> list[list[dict[str, Any]]]:
    """The rows of all tables. A column that was dropped and added again is the last one, so their order may change."""
    found = [await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in metadata.tables]
    return [[dict(row) for row in rows] for rows in found]


async def tables(connection: asyncpg.Connection) -> set[str]:
    return {row[0] for row in await connection.fetch(TABLES)}


def url_of(settings: DatabaseSettings) -> str:
    return settings.database_url.get_secret_value()


async def test_down_to_base_and_up_again_keeps_every_row(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE TABLE somebody_elses (id int PRIMARY KEY); INSERT INTO somebody_elses VALUES (1)")
    await connection.execute(INSERT)
    before = await connection.fetch("SELECT * FROM audit ORDER BY id")
    for _ in range(2):
        await migrate(database_settings, command.downgrade, "base")
        assert await tables(connection) >= {"rolled_back.audit", "public.somebody_elses"}
        assert "public.audit" not in await tables(connection)
        await migrate(database_settings, command.upgrade, "head")
    assert await connection.fetch("SELECT * FROM audit ORDER BY id") == before
    assert await connection.fetchval("SELECT count(*) FROM somebody_elses") == 1
    assert await connection.fetchval("SELECT to_regnamespace('rolled_back')") is None


async def test_history_and_keys_survive_a_rollback_and_verify_afterwards(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    async with run_application(database_settings) as client:
        body = audit_body(source="s", event_id="1")
        response = await client.post(AUDITS, json=body, headers={"Idempotency-Key": "1"})
        await client.patch(response.headers["Location"], json={"status": "failure"})
        await client.delete(f"{AUDITS}/{(await create_audit(client))['id']}")
    before = await read_all(connection)
    await migrate(database_settings, command.downgrade, "base")
    await migrate(database_settings, command.upgrade, "head")
    assert await read_all(connection) == before
    assert [tuple(row) for row in await connection.fetch(GUARDS)] == [
        ("audit_event_refuse_change", b"A"),
        ("audit_event_refuse_change_of_row", b"A"),
        ("audit_revision_refuse_change", b"A"),
        ("audit_revision_refuse_change_of_row", b"A"),
        ("ledger_checkpoint_only_grow", b"A"),
        ("ledger_checkpoint_refuse_change", b"A"),
        ("ledger_checkpoint_refuse_change_of_row", b"A"),
        ("ledger_cosignature_refuse_change", b"A"),
        ("ledger_cosignature_refuse_change_of_row", b"A"),
        ("ledger_entry_refuse_change", b"A"),
        ("ledger_entry_refuse_change_of_row", b"A"),
        ("ledger_only_grow", b"A"),
        ("ledger_refuse_change", b"A"),
        ("ledger_refuse_change_of_row", b"A"),
        ("ledger_tile_only_grow", b"A"),
        ("ledger_tile_refuse_change", b"A"),
        ("ledger_tile_refuse_change_of_row", b"A"),
    ]
    assert await collect_findings(database_settings) == []


async def test_tables_without_a_recorded_revision_are_one_clear_line(empty_database: DatabaseSettings) -> None:
    """As after a restore of some tables only."""
    connection = await asyncpg.connect(driver_url(empty_database))
    await connection.execute("CREATE TABLE audit ()")
    done = await programs.run("alembic", "upgrade", "head", DATABASE_URL=empty_database.database_url.get_secret_value())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith('migrations: relation "audit" already exists: no revision is recorded here; restore')
    assert await tables(connection) == {"public.audit"}
    await connection.close()


async def test_up_and_down_without_rows_leaves_nothing_but_alembics_own_table(
    empty_database: DatabaseSettings,
) -> None:
    await migrate(empty_database, command.upgrade, "head")
    await migrate(empty_database, command.downgrade, "base")
    connection = await asyncpg.connect(driver_url(empty_database))
    assert await tables(connection) == {"public.alembic_version"}
    assert await connection.fetchval("SELECT to_regnamespace('rolled_back')") is None
    await connection.close()


async def test_a_ledger_without_entries_is_guarded_again_after_a_rollback(empty_database: DatabaseSettings) -> None:
    """Its checkpoint of no entries is not kept, nor are its witnesses."""
    await migrate(empty_database, command.upgrade, "head")
    connection = await asyncpg.connect(driver_url(empty_database))
    guards = await connection.fetch(GUARDS)
    await connection.execute("""
        INSERT INTO ledger_checkpoint (origin, size, root, note) VALUES ('a', 0, '', '');
        INSERT INTO ledger_witness (witness) VALUES ('w')
    """)
    await migrate(empty_database, command.downgrade, "a91c04de72b3")
    assert await connection.fetchval("SELECT to_regnamespace('rolled_back')") is None
    await migrate(empty_database, command.upgrade, "head")
    assert await connection.fetch(GUARDS) == guards
    await connection.close()


async def test_every_revision_can_be_downgraded_and_upgraded_again(empty_database: DatabaseSettings) -> None:
    await migrate(empty_database, command.upgrade, "head")
    for _ in load_schema_revisions().known:
        await migrate(empty_database, command.downgrade, "-1")
    for _ in load_schema_revisions().known:
        await migrate(empty_database, command.upgrade, "+1")
    await migrate(empty_database, command.check)


LONG = {"action": "é" * 256, "entity_type": "é" * 256, "entity_id": "é" * 1000, "actor_id": "é" * 1000}
STORED_IN = "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname ~ '^audit'"
LENGTHS = """
    SELECT column_name, character_maximum_length FROM information_schema.columns
    WHERE table_name = 'audit' AND column_name IN ('action', 'entity_type', 'entity_id', 'actor_id')
"""


async def test_names_are_widened_without_writing_a_row_or_an_index_and_keep_their_statistics(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await migrate(database_settings, command.downgrade, "5b0e7d93c1fa")
    await connection.execute(INSERT)
    for name in LONG:
        length = 256 if name.endswith("id") else 128
        await connection.execute(f'ALTER TABLE audit ALTER {name} TYPE varchar({length}) COLLATE "C"')
    before = await connection.fetch(STORED_IN)
    rows = await connection.fetch("SELECT xmin, ctid, * FROM audit")
    await migrate(database_settings, command.upgrade, "c27f9a40e6d8")
    assert await connection.fetch(STORED_IN) == before
    assert await connection.fetch("SELECT xmin, ctid, * FROM audit") == rows
    assert {row[0]: row[1] for row in await connection.fetch(LENGTHS)} == {
        "action": 256,
        "entity_type": 256,
        "entity_id": 1024,
        "actor_id": 1024,
    }
    analyzed = await connection.fetch("SELECT attname FROM pg_stats WHERE tablename = 'audit'")
    assert {row[0] for row in analyzed} >= LONG.keys()


async def test_a_rollback_keeps_long_names_and_the_way_up_too(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    async with run_application(database_settings) as client:
        record = await create_audit(client, **LONG)
    await migrate(database_settings, command.downgrade, "5b0e7d93c1fa")
    assert await connection.fetchval("SELECT action FROM audit") == LONG["action"]
    await migrate(database_settings, command.upgrade, "head")
    async with run_application(database_settings) as client:
        assert (await client.get(f"{AUDITS}/{record['id']}")).json() == record
    assert await collect_findings(database_settings) == []


async def test_concurrent_migrations_wait_for_each_other(empty_database: DatabaseSettings) -> None:
    connection = await asyncpg.connect(driver_url(empty_database))
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    runs = [
        asyncio.create_task(programs.run("alembic", "upgrade", "head", DATABASE_URL=url_of(empty_database)))
        for _ in range(2)
    ]
    async with asyncio.timeout(20):
        while await connection.fetchval(WAITING) < len(runs):
            await connection.execute("SELECT pg_sleep(0.01)")
    assert await tables(connection) == set()
    await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
    assert [(await run).returncode for run in runs] == [0, 0]
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == load_schema_revisions().head
    await connection.close()


async def test_models_and_migrations_agree_beside_foreign_tables(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE TABLE somebody_elses (id int PRIMARY KEY)")
    await migrate(database_settings, command.check)
    assert {f"public.{name}" for name in metadata.tables} <= await tables(connection)


def test_make_migration_first_applies_all_other_revisions() -> None:
    command = ["make", "--dry-run", "--old-file=setup", "migration", "m=add invoice"]
    shown = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.partition("alembic ")[2] for line in shown.splitlines() if "alembic " in line] == [
        "upgrade head",
        'revision --autogenerate --message "add invoice"',
    ]


async def test_a_rollback_without_a_revision_is_one_clear_line(empty_database: DatabaseSettings) -> None:
    environment = {"DATABASE_URL": url_of(empty_database), "LOG_LEVEL": "WARNING"}
    result = await programs.finish(await programs.start_in_full("alembic", "downgrade", "-1", **environment))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "migrations: no revision is applied here, so there is none to take back\n"


async def test_offline_mode_is_refused_with_a_reason() -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    result = await programs.run("alembic", "upgrade", "head", "--sql", DATABASE_URL=url)
    assert result.returncode == 1
    assert "--sql is not supported" in result.stderr
