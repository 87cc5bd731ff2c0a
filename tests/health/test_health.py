"""`/health/live` answers while the process runs, `/health/ready` says whether it can serve; both answer in time."""

import asyncio
import time

import asyncpg
import httpx2
import pytest
from alembic import command
from pydantic import SecretStr

from scripts.postgres import Cluster
from src import __version__
from src.ai.config import AISettings
from src.config import DatabaseSettings
from src.schema_revisions import load_schema_revisions
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.conftest import migrate, settings_for
from tests.outages import frozen


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_health_answers_200_with_every_check(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path)
    body = response.json()
    head = load_schema_revisions().head
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert (body["status"], body["version"], body["checks"].keys()) == (
        "ok",
        __version__,
        {"database", "migrations", "ledger", "ai"},
    )
    assert body["checks"]["database"]["status"] == "ok"
    assert 0 < body["checks"]["database"]["latency_ms"] < 1000
    assert body["checks"]["migrations"] == {"status": "ok", "current": head, "expected": head}
    assert body["checks"]["ai"] == {"status": "not_configured"}


async def test_health_reports_a_configured_ai(database: DatabaseSettings) -> None:
    async with run_application(database, AISettings(openai_api_key="key")) as client:
        assert (await client.get("/health")).json()["checks"]["ai"] == {"status": "configured"}


async def test_health_answers_503_within_a_second_while_the_database_is_stopped_and_recovers(
    stoppable_client: httpx2.AsyncClient, own_cluster: Cluster
) -> None:
    healthy = await stoppable_client.get("/health")
    assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
    own_cluster.stop("immediate")
    started = time.monotonic()
    for path in ("/health", "/health/ready"):
        response = await stoppable_client.get(path)
        assert (response.status_code, response.json()["status"]) == (503, "unavailable")
        assert response.json().keys() == healthy.json().keys()
        assert response.json()["checks"]["database"] == {"status": "unavailable", "latency_ms": None, "detail": None}
    for method in ("GET", "POST"):
        response = await stoppable_client.request(method, AUDITS, json=audit_body() if method == "POST" else None)
        assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
        assert int(response.headers["Retry-After"]) >= 1
    assert (await stoppable_client.get(AUDITS, params={"limit": 51})).status_code == 422
    assert (await stoppable_client.post(AUDITS, json={})).status_code == 422
    assert (await stoppable_client.get("/health/live")).status_code == 200
    assert time.monotonic() - started < 2
    own_cluster.start()
    assert (await stoppable_client.get("/health/ready")).status_code == 200
    assert (await stoppable_client.get(AUDITS)).status_code == 200


async def test_many_concurrent_probes_all_get_200(client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.get("/health/ready") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}


async def test_health_answers_503_within_a_second_while_the_database_is_frozen(
    stoppable_client: httpx2.AsyncClient, own_cluster: Cluster
) -> None:
    assert (await stoppable_client.get("/health/ready")).status_code == 200
    async with frozen(own_cluster):
        started = time.monotonic()
        assert (await stoppable_client.get("/health/ready")).status_code == 503
        assert time.monotonic() - started < 2
        assert (await stoppable_client.get("/health/live")).status_code == 200
    assert (await stoppable_client.get("/health/ready")).status_code == 200


@pytest.mark.usefixtures("database_settings")
async def test_a_read_only_database_serves_reads_and_is_not_ready(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    record = await create_audit(client)
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    response = await client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response.json()["checks"]["database"]["status"] == "read_only"
    response = await client.post(AUDITS, json=audit_body())
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert (await client.get(f"{AUDITS}/{record['id']}")).json() == record


async def assert_something_is_missing(client: httpx2.AsyncClient) -> None:
    response = await client.get("/health/ready")
    check = response.json()["checks"]["database"]
    assert (response.status_code, check["status"]) == (503, "misconfigured")
    assert check["detail"].startswith("A table, a column or a right is missing.")


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize("table", ["audit", "audit_revision", "audit_idempotency_key"])
async def test_a_missing_table_makes_the_service_not_ready_and_says_so(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, table: str
) -> None:
    await connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    await assert_something_is_missing(client)
    response = await client.post(AUDITS, json=audit_body(), headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")
    assert response.json()["detail"].startswith("The database lacks a table, a column or a right")


@pytest.mark.usefixtures("database_settings")
async def test_a_missing_column_makes_the_service_not_ready(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    for table, column in (("audit", "status"), ("audit_revision", "salt"), ("audit_idempotency_key", "problems")):
        await connection.execute(f"ALTER TABLE {table} RENAME {column} TO elsewhere")
        await assert_something_is_missing(client)
        await connection.execute(f"ALTER TABLE {table} RENAME elsewhere TO {column}")
    assert (await client.get("/health/ready")).status_code == 200


# The rights of a role without which some requests fail.
RIGHTS = [
    "INSERT ON audit_revision",
    "UPDATE ON audit",
    "DELETE ON audit",
    "UPDATE ON audit_idempotency_key",
    "DELETE ON audit_idempotency_key",
]


async def test_a_missing_right_makes_the_service_not_ready(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE ROLE deprived LOGIN")
    await connection.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO deprived")
    await connection.execute("REVOKE SELECT ON alembic_version FROM deprived")
    url = SecretStr(database_settings.database_url.get_secret_value().replace("app@", "deprived@"))
    async with run_application(database_settings.model_copy(update={"database_url": url})) as client:
        await assert_something_is_missing(client)
        await connection.execute("GRANT SELECT ON alembic_version TO deprived")
        assert (await client.get("/health/ready")).status_code == 200
        for right in RIGHTS:
            await connection.execute(f"REVOKE {right} FROM deprived")
            await assert_something_is_missing(client)
            await connection.execute(f"GRANT {right} TO deprived")
    await connection.execute("DROP OWNED BY deprived; DROP ROLE deprived")


async def test_the_service_stays_ready_while_a_table_is_locked(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_server_starts_while_the_database_is_away(own_cluster: Cluster) -> None:
    own_cluster.stop()
    async with run_application(settings_for(own_cluster)) as client:
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        own_cluster.start()
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_service_is_not_ready_without_a_schema(own_cluster: Cluster) -> None:
    own_cluster.start()
    async with run_application(settings_for(own_cluster, "postgres")) as client:
        response = await client.get("/health/ready")
        assert response.status_code == 503
        check = response.json()["checks"]["migrations"]
        assert (check["status"], check["current"]) == ("missing", None)
        assert response.json()["checks"]["database"]["status"] == "ok"
        response = await client.get(AUDITS)
        assert (response.status_code, response.json()["code"]) == (503, "database-unavailable")


async def test_the_service_is_not_ready_with_an_older_schema(
    database_settings: DatabaseSettings, client: httpx2.AsyncClient
) -> None:
    await migrate(database_settings, command.downgrade, "-1")
    assert (await client.get("/health/ready")).status_code == 503
    await migrate(database_settings, command.upgrade, "head")
    assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.usefixtures("database_settings")
async def test_the_service_is_ready_with_a_newer_schema(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE alembic_version SET version_num = 'of_tomorrow'")
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["checks"]["migrations"]["status"] == "ahead"
