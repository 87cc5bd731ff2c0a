"""A restored dump contains the whole trail, and its history cannot be rewritten."""

import asyncio
from pathlib import Path

import asyncpg
import httpx2
import pytest

from scripts.postgres import Cluster, find_binaries
from src.config import DatabaseSettings
from tests.audits.factories import AUDITS, create_audit
from tests.audits.test_verify import collect_findings
from tests.conftest import driver_url, settings_for

RESTORED = "restored"


async def run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(find_binaries() / program, *arguments)
    assert await process.wait() == 0


async def test_a_restored_dump_verifies_and_its_history_stays_guarded(
    client: httpx2.AsyncClient,
    cluster: Cluster,
    administrator: asyncpg.Connection,
    database_settings: DatabaseSettings,
    tmp_path: Path,
) -> None:
    changed = await create_audit(client, details={"n": 0.1, "big": 2.0**70, "text": "Grüße 😀\u2028"})
    await client.patch(f"{AUDITS}/{changed['id']}", json={"status": "failure"})
    removed = await create_audit(client)
    await client.delete(f"{AUDITS}/{removed['id']}")
    dump = str(tmp_path / "audit.dump")
    await run("pg_dump", "--format=custom", f"--file={dump}", driver_url(database_settings))
    await administrator.execute(f"CREATE DATABASE {RESTORED}")
    restored = settings_for(cluster, RESTORED)
    try:
        options = ("--exit-on-error", "--single-transaction", f"--dbname={driver_url(restored)}")
        await run("pg_restore", *options, dump)
        assert await collect_findings(restored) == []
        connection = await asyncpg.connect(driver_url(restored))
        assert await connection.fetchval("SELECT count(*) FROM audit_revision") == 4
        await connection.execute("SET session_replication_role = replica")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("UPDATE audit_revision SET reason = 'forged'")
        await connection.close()
    finally:
        await administrator.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)")
