"""The database is busy, slow, frozen or cut off; the service says so in time, loses nothing and recovers by itself."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from scripts.postgres import Cluster
from src.config import DatabaseSettings, Pooler
from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection, transaction
from src.engines import create_pool, database_url, job_transaction
from src.statement import Statement
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.outages import SilencingProxy, frozen, wait_until_blocked


async def test_every_pooled_connection_is_replaced_after_a_restart(
    stoppable_client: httpx2.AsyncClient, own_cluster: Cluster
) -> None:
    await asyncio.gather(*(stoppable_client.get(AUDITS) for _ in range(10)))
    # In a thread, so that the application can see its connections being closed meanwhile.
    await asyncio.to_thread(own_cluster.stop, "immediate")
    await asyncio.to_thread(own_cluster.start)
    answers = await asyncio.gather(*(stoppable_client.get(AUDITS) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}


@pytest.fixture
def small_pool(database: DatabaseSettings) -> DatabaseSettings:
    return database.model_copy(
        update={"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 0.3}
    )


async def test_an_exhausted_pool_is_503_within_its_bounded_wait_and_others_recover(
    small_pool: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    async with run_application(small_pool) as client:
        url = f"{AUDITS}/{(await create_audit(client))['id']}"
        async with connection.transaction():
            await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
            holder = asyncio.create_task(client.get(url))
            await wait_until_blocked(connection)
            started = time.monotonic()
            response = await client.get(url)
            assert (response.status_code, response.json()["code"]) == (503, "database-busy")
            assert int(response.headers["Retry-After"]) >= 1
            assert time.monotonic() - started < 1.5
            assert (await client.get("/health/live")).status_code == 200
        assert (await holder).status_code == 200
        assert (await client.get(url)).status_code == 200


@pytest.mark.parametrize("pooler", Pooler)
async def test_a_server_that_accepts_and_says_nothing_is_given_up_after_the_connect_timeout(pooler: Pooler) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        pool = create_pool(
            DatabaseSettings(
                database_url=SecretStr(f"postgresql://app@127.0.0.1:{port}/app"),
                database_pooler=pooler,
                database_connect_timeout=0.2,
            )
        )
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                await AutocommitConnection(pool).fetch(Statement(text("SELECT 1")))
        await pool.dispose()


async def test_a_locked_row_is_503_in_time(
    client_with_short_timeouts: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client_with_short_timeouts)
    async with connection.transaction():
        await connection.execute("SELECT FROM audit FOR UPDATE")
        response = await client_with_short_timeouts.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
    assert (response.status_code, response.json()["code"]) == (503, "database-timeout")
    assert int(response.headers["Retry-After"]) >= 1
    assert (await client_with_short_timeouts.get(f"{AUDITS}/{record['id']}")).json() == record


@pytest.fixture
async def client_with_short_timeouts(database: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    settings = database.model_copy(
        update={"database_lock_timeout": 0.2, "database_statement_timeout": 0.3, "database_command_timeout": 0.5}
    )
    async with run_application(settings) as client:
        yield client


async def test_a_connection_lost_in_the_middle_of_a_request_is_503_and_writes_nothing(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    async with run_application(database) as client:
        record = await create_audit(client)
        for method, body in (("POST", audit_body()), ("PATCH", {"status": "failure"}), ("DELETE", None)):
            url = AUDITS if method == "POST" else f"{AUDITS}/{record['id']}"
            async with connection.transaction():
                await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
                request = asyncio.create_task(client.request(method, url, json=body))
                await wait_until_blocked(connection)
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
                )
                response = await request
                assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
            page = (await client.get(AUDITS)).json()
            assert (page["total"], page["items"]) == (1, [record])


@pytest.mark.usefixtures("database_settings")
async def test_a_failed_commit_is_never_acknowledged(
    client_with_short_timeouts: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client_with_short_timeouts)
    await connection.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '53100'; END $$;
        CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR UPDATE OR DELETE ON audit DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION fail();
    """)
    url = f"{AUDITS}/{record['id']}"
    for method, path, body in (
        ("POST", AUDITS, audit_body()),
        ("POST", f"{AUDITS}/batch", {"items": [audit_body()]}),
        ("PATCH", url, {"status": "failure"}),
        ("PUT", url, audit_body(occurred_at="2026-01-01T00:00:00Z")),
        ("DELETE", url, None),
    ):
        response = await client_with_short_timeouts.request(method, path, json=body)
        assert (response.status_code, response.json()["code"]) == (503, "database-busy"), method
    assert (await client_with_short_timeouts.get(url)).json() == record
    assert await connection.fetchval("SELECT count(*) FROM audit") == 1
    assert await connection.fetchval("SELECT count(*) FROM audit_revision") == 1


async def test_a_frozen_database_is_503_in_time_and_recovers(
    stoppable_client: httpx2.AsyncClient, own_cluster: Cluster
) -> None:
    assert (await stoppable_client.get(AUDITS)).status_code == 200
    async with frozen(own_cluster):
        started = time.monotonic()
        response = await stoppable_client.get(AUDITS)
        assert (response.status_code, response.json()["code"]) == (503, "database-timeout")
        assert time.monotonic() - started < 4
    answers = await asyncio.gather(*(stoppable_client.get(AUDITS) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}


@pytest.fixture
async def pool(small_pool: DatabaseSettings) -> AsyncIterator[ConnectionPool]:
    """With one connection."""
    pool = create_pool(small_pool)
    yield pool
    await pool.dispose()


@pytest.mark.usefixtures("database_settings")
async def test_a_single_statement_is_committed_and_its_rows_are_there_when_its_connection_is_back(
    pool: ConnectionPool, connection: asyncpg.Connection
) -> None:
    single = AutocommitConnection(pool)
    await single.execute(text("CREATE TABLE thing (number integer PRIMARY KEY)"))
    given = await single.execute(text("INSERT INTO thing VALUES (1), (:number) RETURNING number"), {"number": 2})
    assert await single.scalar(text("SELECT max(number) FROM thing")) == 2
    assert [row["number"] for row in given.mappings()] == [1, 2]
    assert await connection.fetchval("SELECT count(*) FROM thing") == 2


@pytest.mark.parametrize("pooler", Pooler)
@pytest.mark.usefixtures("database_settings")
async def test_nobody_gets_a_connection_whose_statement_was_given_up(
    small_pool: DatabaseSettings, connection: asyncpg.Connection, pooler: Pooler
) -> None:
    pool = create_pool(small_pool.model_copy(update={"database_pooler": pooler}))
    await connection.execute("CREATE TABLE thing (number integer)")
    single, insert = AutocommitConnection(pool), Statement(text("INSERT INTO thing VALUES (1) RETURNING number"))
    async with connection.transaction():
        await connection.execute("LOCK TABLE thing")
        given_up = asyncio.create_task(single.fetch(insert))
        await wait_until_blocked(connection)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await single.scalar(text("SELECT 1")) == 1
    assert await single.fetch_column(insert) == [1]
    assert await connection.fetchval("SELECT count(*) FROM thing") == 1
    await pool.dispose()


@pytest.mark.parametrize("pooler", Pooler)
async def test_nobody_gets_a_connection_that_has_gone_silent(
    small_pool: DatabaseSettings, cluster: Cluster, pooler: Pooler
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with SilencingProxy(cluster, Path(folder)) as proxy:
            changes = {
                "database_url": SecretStr(
                    f"postgresql+asyncpg://app@/{database_url(small_pool).database}?host={proxy.url_host}"
                ),
                "database_pooler": pooler,
                "database_command_timeout": 1,
            }
            pool = create_pool(small_pool.model_copy(update=changes))
            single, statement = AutocommitConnection(pool), Statement(text("SELECT 1"))
            assert await single.fetch_column(statement) == [1]
            proxy.silence()
            with pytest.raises(TimeoutError):
                await single.fetch(statement)
            assert await single.fetch_column(statement) == [1]
            await pool.dispose()


async def test_the_errors_of_both_ways_hide_the_parameters(pool: ConnectionPool, small_pool: DatabaseSettings) -> None:
    # Not a value that asyncpg itself quotes: https://www.postgresql.org/docs/current/errcodes-appendix.html, 22012.
    broken = text("SELECT 1 / (length(CAST(:recorded AS text)) - 8)")
    errors = []
    for run in (
        AutocommitConnection(pool).execute(broken, {"recorded": "a-secret"}),
        AutocommitConnection(pool).fetch(Statement(broken), recorded="a-secret"),
        run_as_job(small_pool, broken, {"recorded": "a-secret"}),
    ):
        with pytest.raises(DBAPIError) as raised:
            await run
        errors.append(str(raised.value))
    assert all("division by zero" in error and "a-secret" not in error for error in errors)


async def run_as_job(settings: DatabaseSettings, statement: TextClause, parameters: dict[str, str]) -> None:
    async with job_transaction(settings) as connection:
        await connection.execute(statement, parameters)


@pytest.mark.usefixtures("database_settings")
async def test_both_ways_to_run_a_statement_raise_the_same_errors(pool: ConnectionPool) -> None:
    single = AutocommitConnection(pool)
    await single.execute(text("CREATE TABLE thing (number integer CONSTRAINT positive CHECK (number > 0))"))
    for broken, kind, sqlstate, constraint in (
        ("INSERT INTO thing VALUES (0)", IntegrityError, "23514", "positive"),
        ("SELECT 1 / 0", DBAPIError, "22012", None),
    ):
        for run in (single.execute(text(broken)), single.fetch(Statement(text(broken)))):
            with pytest.raises(kind) as raised:
                await run
            found = raised.value.driver_exception
            assert isinstance(found, asyncpg.PostgresError)
            assert (found.sqlstate, found.constraint_name) == (sqlstate, constraint)


async def test_a_transaction_connects_for_its_first_statement(pool: ConnectionPool) -> None:
    another = AutocommitConnection(pool)
    async with transaction(pool) as unused:
        assert unused
        assert await another.scalar(text("SELECT 1")) == 1
    async with transaction(pool) as used:
        assert await used.scalar(text("SELECT 1")) == 1
        with pytest.raises(PoolTimeoutError):
            await another.scalar(text("SELECT 1"))
    assert await another.scalar(text("SELECT 1")) == 1


@pytest.mark.usefixtures("database_settings")
async def test_returning_commits_and_raising_rolls_back(pool: ConnectionPool) -> None:
    async with transaction(pool) as one:
        await one.execute(text("CREATE TABLE thing (number integer)"))
    with suppress(ZeroDivisionError):
        async with transaction(pool) as another:
            await another.execute(text("INSERT INTO thing VALUES (1)"))
            raise ZeroDivisionError
    assert await AutocommitConnection(pool).scalar(text("SELECT count(*) FROM thing")) == 0
