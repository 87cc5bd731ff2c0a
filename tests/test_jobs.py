"""Migrations and `make verify` take as long as they need, and say in one line what stops them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest

from scripts.postgres import Cluster
from src.config import PROJECT_ROOT, DatabaseSettings
from src.migrations import MIGRATION_LOCK
from tests.outages import wait_until_blocked

MIGRATE = ("-m", "alembic", "upgrade", "head")
VERIFY = ("-m", "src.audits.verify")
BOTH = pytest.mark.parametrize(("job", "command"), [("migrations", MIGRATE), ("verify", VERIFY)])
SECRET = "s3cr3t"


def run(command: tuple[str, ...], url: str, **environment: str) -> tuple[int, list[str]]:
    """Its status and what it has written to stderr."""
    variables = os.environ | {"DATABASE_URL": url} | environment
    done = subprocess.run((sys.executable, *command), cwd=PROJECT_ROOT, env=variables, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
async def hurried_url(database_settings: DatabaseSettings, connection: asyncpg.Connection) -> AsyncIterator[str]:
    """Of a role that may do everything, and has next to no time for it."""
    await connection.execute("CREATE ROLE hurried LOGIN SUPERUSER")
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    if connection.get_server_version() >= (17,):
        limits.append("transaction_timeout")
    for name in limits:
        await connection.execute(f"ALTER ROLE hurried SET {name} = '100ms'")
    yield database_settings.database_url.get_secret_value().replace("app@", "hurried@")
    await connection.execute("DROP ROLE hurried")


@pytest.mark.parametrize("pooler", ["none", "transaction"])
@pytest.mark.parametrize(
    ("command", "lock"),
    [
        (MIGRATE, f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"),
        (VERIFY, "LOCK TABLE audit IN ACCESS EXCLUSIVE MODE"),
    ],
)
async def test_the_limits_of_a_role_do_not_hold_for_them(
    hurried_url: str, connection: asyncpg.Connection, command: tuple[str, ...], lock: str, pooler: str
) -> None:
    async with connection.transaction():
        await connection.execute(lock)
        running = asyncio.create_task(asyncio.to_thread(run, command, hurried_url, DATABASE_POOLER=pooler))
        await wait_until_blocked(connection, patience=30)
        await connection.execute("SELECT pg_sleep(0.2)")
    status, lines = await running
    assert status == 0, lines


@BOTH
@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://app:{SECRET}@127.0.0.1:1/app", "cannot be reached"),
        (f"postgresql://app:{SECRET}@/app?host=/nowhere", "cannot be reached"),
    ],
)
def test_a_database_that_is_away_is_told_in_one_line(job: str, command: tuple[str, ...], url: str, said: str) -> None:
    status, lines = run(command, url)
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{job}: the database {said}")
    assert SECRET not in lines[0]


@BOTH
def test_a_database_or_a_role_that_does_not_exist_is_told_in_one_line(
    job: str, command: tuple[str, ...], cluster: Cluster
) -> None:
    for url, said in (
        (cluster.url("nothing"), 'database "nothing" does not exist: create the database'),
        (cluster.url().replace("app@", "nobody@"), 'role "nobody" does not exist: check the user'),
    ):
        status, lines = run(command, url)
        assert (status, len(lines)) == (1, 1)
        assert lines[0].startswith(f"{job}: {said}")


@BOTH
async def test_a_missing_permission_is_told_in_one_line(
    job: str, command: tuple[str, ...], database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE ROLE stranger LOGIN")
    url = database_settings.database_url.get_secret_value().replace("app@", "stranger@")
    status, lines = run(command, url)
    await connection.execute("DROP ROLE stranger")
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{job}: permission denied for")


def test_a_database_that_was_never_migrated_is_told_by_verify_in_one_line(cluster: Cluster) -> None:
    status, lines = run(VERIFY, cluster.url("postgres"))
    assert (status, len(lines)) == (1, 1)
    assert lines[0].endswith("run make migrate")
