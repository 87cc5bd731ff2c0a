"""The limits of a connection are in force, and its prepared statements do not collide with others."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scripts.postgres import Cluster
from src.config import DatabaseSettings, Pooler
from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection, driver_connection, transaction
from src.driver import keeps_prepared_statements, limited_connection
from src.engines import create_pool, create_stream_pool
from src.statement import Statement
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.poolers import ParameterProxy

TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
WANTED = ["1500ms", "1s", "5s"]
PREPARED = Statement(text("SELECT name FROM pg_prepared_statements"))
IN_FORCE = Statement(
    text(
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
        "current_setting('idle_in_transaction_session_timeout')"
    )
)


@asynccontextmanager
async def pool_of(settings: DatabaseSettings) -> AsyncIterator[ConnectionPool]:
    pool = create_pool(settings.model_copy(update={"database_pool_size": 1}))
    yield pool
    await pool.dispose()


async def statements_of(pool: ConnectionPool) -> set[str]:
    """The names of the statements that the pool prepares on its only connection, by SQLAlchemy and by `fetch`."""
    await AutocommitConnection(pool).fetch(PREPARED)
    async with transaction(pool) as connection:
        return set((await connection.execute(text("SELECT name FROM pg_prepared_statements"))).scalars())


async def test_statement_names_are_unique_across_connections_and_processes(
    database: DatabaseSettings,
) -> None:
    async with pool_of(database) as one, pool_of(database) as another:
        names = [await statements_of(pool) for pool in (one, another)]
    assert min(map(len, names)) >= 2
    assert not names[0] & names[1]
    # asyncpg numbers statements from 1 in each process; 122 random bits distinguish those of different processes.
    assert all(re.search("[0-9a-f]{32}", name) for name in names[0] | names[1])
    # PostgreSQL truncates longer names, so that two could become equal.
    assert max(map(len, names[0] | names[1])) < 64


@pytest.fixture
def pooled(database: DatabaseSettings) -> DatabaseSettings:
    return database.model_copy(update={"database_pooler": Pooler.TRANSACTION})


async def test_behind_a_pooler_nothing_is_prepared(pooled: DatabaseSettings) -> None:
    async with pool_of(pooled) as pool:
        assert await statements_of(pool) <= {""}


async def test_behind_a_pooler_each_transaction_sets_the_limits_for_itself_alone(
    pooled: DatabaseSettings,
) -> None:
    async with pool_of(pooled) as pool:
        assert list(*await AutocommitConnection(pool).fetch(IN_FORCE)) == WANTED
        async with transaction(pool) as connection:
            assert list((await connection.execute(text(IN_FORCE.sql))).one()) == WANTED
        async with pool.connect() as direct:
            driver = await driver_connection(direct)
            assert [await driver.fetchval("SELECT current_setting($1)", name) for name in TIMEOUTS] == ["0", "0", "0"]


async def test_behind_a_pooler_a_connection_stays_usable_after_a_refused_statement(pooled: DatabaseSettings) -> None:
    async with pool_of(pooled) as pool:
        connection = AutocommitConnection(pool)
        with pytest.raises(DBAPIError):
            await connection.fetch(Statement(text("SELECT 1 / 0")))
        assert list(*await connection.fetch(IN_FORCE)) == WANTED


async def test_behind_a_pooler_a_connection_is_closed_when_a_transaction_begins_without_its_limits(
    pooled: DatabaseSettings,
) -> None:
    url = pooled.database_url.get_secret_value().replace("+asyncpg", "")
    kind = limited_connection({"statement_timeout": "no time at all"})
    for committed in (True, False):
        ours = await asyncpg.connect(url, connection_class=kind)
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await (ours.fetch_committed("SELECT 1", ()) if committed else ours.transaction().start())
        assert ours.is_closed()


async def test_behind_a_pooler_one_time_limit_covers_begin_and_the_statement(
    pooled: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    url = pooled.database_url.get_secret_value().replace("+asyncpg", "")
    ours = await asyncpg.connect(url, connection_class=limited_connection({"lock_timeout": "0"}, seconds=0.2))
    async with connection.transaction():
        await connection.execute("LOCK TABLE audit")
        with pytest.raises(TimeoutError):
            await ours.fetch_committed("SELECT FROM audit FOR UPDATE", ())
    assert ours.is_closed()


async def test_behind_a_pooler_exports_have_their_own_limits(pooled: DatabaseSettings) -> None:
    pool = create_stream_pool(pooled)
    async with pool.connect() as connection:
        assert list((await connection.execute(text(IN_FORCE.sql))).one()) == [*WANTED[:2], "30s"]
    await pool.dispose()


async def test_a_direct_connection_keeps_its_statements(database: DatabaseSettings) -> None:
    async with (
        pool_of(database) as one,
        pool_of(database) as another,
        one.connect() as ours,
        another.connect() as others,
    ):
        assert await keeps_prepared_statements(await driver_connection(ours), await driver_connection(others))


@asynccontextmanager
async def behind(proxy: ParameterProxy, settings: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    database = settings.database_url.get_secret_value().partition("@/")[2].partition("?")[0]
    url = SecretStr(f"postgresql+asyncpg://app@/{database}?host={proxy.host}")
    async with proxy, run_application(settings.model_copy(update={"database_url": url})) as client:
        yield client


@pytest.mark.parametrize("drops", [TIMEOUTS, ("plan_cache_mode",)])
async def test_a_connection_that_lost_its_limits_is_not_used_and_ready_names_them(
    cluster: Cluster,
    database: DatabaseSettings,
    tmp_path: Path,
    drops: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with behind(ParameterProxy(cluster, tmp_path, drops=drops), database) as client:
        response = await client.get("/health/ready")
        check = response.json()["checks"]["database"]
        assert (response.status_code, check["status"]) == (503, "misconfigured")
        assert all(name in check["detail"] for name in (*drops, "DATABASE_POOLER=transaction"))
        assert check["detail"] in caplog.text
        response = await client.post(AUDITS, json=audit_body())
        assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")


async def test_ready_and_the_log_report_a_pooler_that_refuses_the_limits(
    cluster: Cluster, database: DatabaseSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind(ParameterProxy(cluster, tmp_path, refuses="lock_timeout"), database) as client:
        response = await client.get("/health/ready")
        check = response.json()["checks"]["database"]
        assert (response.status_code, check["status"]) == (503, "misconfigured")
        assert "DATABASE_POOLER=transaction" in check["detail"]
        assert check["detail"] in caplog.text


@pytest.mark.parametrize("proxy", [{"drops": TIMEOUTS}, {"refuses": "lock_timeout"}])
async def test_with_the_pooler_setting_the_service_works_behind_such_a_pooler(
    cluster: Cluster, pooled: DatabaseSettings, tmp_path: Path, proxy: dict[str, str]
) -> None:
    async with behind(ParameterProxy(cluster, tmp_path, **proxy), pooled) as client:
        assert (await client.get("/health/ready")).status_code == 200
        record = await create_audit(client)
        changed = await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
        assert (await client.get(f"{AUDITS}/{record['id']}")).json() == changed.json()
        assert len((await client.get(f"{AUDITS}/export")).text.splitlines()) == 1
