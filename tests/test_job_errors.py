"""Migrations and `make verify` have no limits of time, and report errors in one line."""

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scripts.postgres import Cluster
from src.config import DatabaseSettings
from src.engines import create_job_engine
from src.job_errors import exit_with_one_line
from tests import programs
from tests.outages import wait_until_blocked

MIGRATE = ("alembic", "upgrade", "head")
VERIFY = ("src.ledger.verify",)
BOTH = pytest.mark.parametrize(("job", "command"), [("migrations", MIGRATE), ("verify", VERIFY)])
SECRET = "s3cr3t"


async def run(command: tuple[str, ...], url: str, **environment: str) -> tuple[int, list[str]]:
    """Run the command. Returns its status and the lines of stderr."""
    done = await programs.run(*command, DATABASE_URL=url, **environment)
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
async def hurried_url(database: DatabaseSettings, connection: asyncpg.Connection) -> AsyncIterator[str]:
    """The URL of a superuser whose role sets very short limits."""
    await connection.execute("CREATE ROLE hurried LOGIN SUPERUSER")
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    if connection.get_server_version() >= (17,):
        limits.append("transaction_timeout")
    for name in limits:
        await connection.execute(f"ALTER ROLE hurried SET {name} = '100ms'")
    yield database.database_url.get_secret_value().replace("app@", "hurried@")
    await connection.execute("DROP ROLE hurried")


# The first table that a migration reads.
LOCK_REVISION = "LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"
LOCK_RECORDS = "LOCK TABLE audit IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize(
    ("command", "lock", "pooler"), [(MIGRATE, LOCK_REVISION, "none"), (VERIFY, LOCK_RECORDS, "transaction")]
)
async def test_the_limits_of_a_role_do_not_hold_for_jobs(
    hurried_url: str, connection: asyncpg.Connection, command: tuple[str, ...], lock: str, pooler: str
) -> None:
    async with connection.transaction():
        await connection.execute(lock)
        running = asyncio.create_task(run(command, hurried_url, DATABASE_POOLER=pooler))
        await wait_until_blocked(connection, seconds=30)
        await connection.execute("SELECT pg_sleep(0.2)")
    status, lines = await running
    assert status == 0, lines


@BOTH
async def test_one_line_reports_an_unreachable_database(job: str, command: tuple[str, ...]) -> None:
    status, lines = await run(command, f"postgresql://app:{SECRET}@127.0.0.1:1/app")
    assert (status, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{job}: the database cannot be reached")
    assert SECRET not in lines[0]


@pytest.mark.parametrize(
    ("job", "command", "lock"), [("migrations", MIGRATE, LOCK_REVISION), ("verify", VERIFY, LOCK_RECORDS)]
)
async def test_one_line_reports_a_lost_connection(
    database: DatabaseSettings, connection: asyncpg.Connection, job: str, command: tuple[str, ...], lock: str
) -> None:
    async with connection.transaction():
        await connection.execute(lock)
        running = asyncio.create_task(run(command, database.database_url.get_secret_value()))
        await wait_until_blocked(connection, seconds=30)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
        )
        status, lines = await running
    assert (status, len(lines)) == (1, 1), lines
    assert lines[0].startswith(f"{job}: ")
    assert "check that the server is up" in lines[0]


async def test_one_line_reports_a_url_that_asyncpg_cannot_follow(database: DatabaseSettings) -> None:
    url = database.database_url.get_secret_value()
    status, lines = await run(VERIFY, f"{url}&target_session_attrs=read-only")
    assert (status, len(lines)) == (1, 1), lines
    assert "check DATABASE_URL" in lines[0]


async def test_one_line_reports_a_revision_of_another_release(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE alembic_version SET version_num = 'of_tomorrow'")
    status, lines = await run(MIGRATE, database_settings.database_url.get_secret_value())
    assert (status, len(lines)) == (1, 1), lines
    assert lines[0].startswith("migrations: the database is at revision of_tomorrow, which this release does not know")


async def final_line_of(url: str, *statements: str) -> str:
    """The line with which a job ends that connects and runs the statements."""

    async def work() -> None:
        engine = create_job_engine(DatabaseSettings(database_url=SecretStr(url)))
        with exit_with_one_line("job", {"42P01": "run make migrate"}):
            async with engine.connect() as connection:
                for statement in statements:
                    await connection.execute(text(statement))

    with pytest.raises(SystemExit) as ended:
        await work()
    return str(ended.value)


async def test_one_line_says_what_an_operator_has_to_do(
    cluster: Cluster, database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    url = database.database_url.get_secret_value()
    await connection.execute("CREATE ROLE stranger LOGIN")
    lines = [
        await final_line_of("postgresql://app@/app?host=/nowhere"),
        await final_line_of(cluster.url("nothing")),
        await final_line_of(cluster.url().replace("app@", "nobody@")),
        await final_line_of(url.replace("app@", "stranger@"), "SELECT * FROM audit"),
        await final_line_of(url, "SELECT * FROM nothing"),
        await final_line_of(url, "SET transaction_read_only = on", "DELETE FROM audit"),
    ]
    await connection.execute("DROP ROLE stranger")
    away, *others = [line.partition(": ")[2] for line in lines]
    assert away.startswith(f"the database cannot be reached ([Errno 2] {os.strerror(2)}): check that DATABASE_URL")
    assert others == [
        'database "nothing" does not exist: create the database, or name another in DATABASE_URL',
        'role "nobody" does not exist: check the user and the password of DATABASE_URL',
        "permission denied for table audit: connect as the owner of the tables, or grant what is missing",
        'relation "nothing" does not exist: run make migrate',
        "cannot execute DELETE in a read-only transaction: connect to a server that takes writes",
    ]


async def test_a_bug_keeps_its_traceback(database: DatabaseSettings) -> None:
    engine = create_job_engine(database)
    with pytest.raises(DBAPIError), exit_with_one_line("job"):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1 / 0"))
