"""Behind a real PgBouncer every answer is correct and every limit is in force, or the service says why not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import SecretStr

from scripts.postgres import Cluster
from src.config import DatabaseSettings, Pooler
from src.ledger.notes import split_note
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body
from tests.audits.test_verify import collect_findings
from tests.ledger.conftest import KEY, ORIGIN
from tests.ledger.revisions import check_ledger
from tests.ledger.witness import run_witness
from tests.peers.poolers import pgbouncer, pgpool, standby

pytestmark = pytest.mark.peers

CLIENTS, RECORDS = 20, 200
LIMITS = "plan_cache_mode,statement_timeout,lock_timeout,idle_in_transaction_session_timeout"
SET_LIMITS = (
    "connect_query='SET statement_timeout=1500; SET lock_timeout=1000; SET idle_in_transaction_session_timeout=5000; "
    "SET plan_cache_mode=force_custom_plan'"
)


def url_through(folder: str, settings: DatabaseSettings) -> str:
    database = settings.database_url.get_secret_value().partition("@/")[2].partition("?")[0]
    return f"postgresql+asyncpg://app@/{database}?host={folder}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that PgBouncer can reach, although it runs as another user."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    return tmp_path / "pgbouncer"


@pytest.fixture(params=["transaction", "session"])
async def pooled(
    request: pytest.FixtureRequest, cluster: Cluster, database_settings: DatabaseSettings, folder: Path
) -> AsyncIterator[Server]:
    """The service with two workers behind PgBouncer. In session mode a client keeps its connection."""
    size = "4" if request.param == "transaction" else "60"
    async with pgbouncer(cluster, folder, request.param, default_pool_size=size) as socket:
        url = url_through(socket, database_settings)
        async with run_server(url, DATABASE_POOLER="transaction", WORKERS="2") as server:
            yield server


async def test_every_answer_through_pgbouncer_is_correct(pooled: Server, database_settings: DatabaseSettings) -> None:
    numbers = iter(range(RECORDS))

    async def work(client: httpx2.AsyncClient) -> None:
        for number in numbers:
            created = await client.post(AUDITS, json=audit_body(details={"number": number}))
            assert created.status_code == 201, created.text
            path = f"{AUDITS}/{created.json()['id']}"
            assert (await client.get(path)).json() == created.json()
            changed = await client.patch(path, json={"status": "failure"}, headers={"If-Match": '"1"'})
            assert changed.json() == created.json() | {
                "status": "failure",
                "version": 2,
                "updated_at": changed.json()["updated_at"],
            }
            found = (await client.get(AUDITS, params={"details": f'{{"number": {number}}}'})).json()
            assert found["items"] == [changed.json()]

    async with httpx2.AsyncClient(base_url=pooled.url, timeout=30) as client:
        await asyncio.gather(*(work(client) for _ in range(CLIENTS)))
        assert (await client.get("/health/ready")).status_code == 200
        assert len((await client.get(f"{AUDITS}/export")).text.splitlines()) == RECORDS
        assert (await client.get(AUDITS)).json()["total"] == RECORDS
    assert await collect_findings(database_settings) == []


async def test_a_locked_row_is_503_in_time(pooled: Server, connection: asyncpg.Connection) -> None:
    async with httpx2.AsyncClient(base_url=pooled.url) as client:
        record = (await client.post(AUDITS, json=audit_body())).json()
        async with connection.transaction():
            await connection.execute("SELECT FROM audit FOR UPDATE")
            started = asyncio.get_running_loop().time()
            answer = await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
            waited = asyncio.get_running_loop().time() - started
        assert (answer.status_code, answer.json()["code"]) == (503, "database-timeout")
        # DATABASE_LOCK_TIMEOUT is 1; without it, DATABASE_STATEMENT_TIMEOUT or DATABASE_COMMAND_TIMEOUT ends the wait.
        assert 1 <= waited < 1.5


@pytest.mark.parametrize("setting", ["none", "transaction"])
async def test_a_pooler_in_statement_mode_cannot_be_used_and_ready_says_so(
    cluster: Cluster, database_settings: DatabaseSettings, folder: Path, setting: str
) -> None:
    ignored = {"ignore_startup_parameters": LIMITS}
    async with (
        pgbouncer(cluster, folder, "statement", **ignored) as socket,
        run_server(url_through(socket, database_settings), DATABASE_POOLER=setting) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/health/ready")
        check = answer.json()["checks"]["database"]
        assert (answer.status_code, check["status"]) == (503, "misconfigured")
        assert "statement mode" in check["detail"]
        await server.line("database not usable: .*statement mode")


@pytest.mark.parametrize(
    ("of_database", "settings", "why"),
    [
        ("", {}, "refuses"),
        ("", {"ignore_startup_parameters": LIMITS}, "drops"),
        (SET_LIMITS, {"ignore_startup_parameters": LIMITS}, "loses prepared statements"),
        (SET_LIMITS, {"ignore_startup_parameters": LIMITS, "server_round_robin": "1"}, "loses prepared statements"),
    ],
)
async def test_without_database_pooler_ready_and_the_log_give_the_reason(
    cluster: Cluster,
    database_settings: DatabaseSettings,
    folder: Path,
    of_database: str,
    settings: dict[str, str],
    why: str,
) -> None:
    async with (
        pgbouncer(cluster, folder, "transaction", of_database, **settings) as socket,
        run_server(url_through(socket, database_settings)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/health/ready")
        check = answer.json()["checks"]["database"]
        assert (answer.status_code, check["status"]) == (503, "misconfigured")
        assert why in check["detail"]
        await server.line(f"database not usable: .*{why}")


async def test_verify_works_through_pgbouncer(
    cluster: Cluster, database_settings: DatabaseSettings, folder: Path
) -> None:
    async with pgbouncer(cluster, folder, "transaction") as socket:
        url = SecretStr(url_through(socket, database_settings))
        through = database_settings.model_copy(update={"database_url": url, "database_pooler": Pooler.TRANSACTION})
        assert await collect_findings(through) == []


async def test_pgpool_with_reads_on_a_standby_is_ready(
    cluster: Cluster, database_settings: DatabaseSettings, folder: Path
) -> None:
    async with (
        standby(cluster, folder.parent / "standby") as follower,
        pgpool(cluster, follower, folder) as socket,
        run_server(url_through(socket, database_settings)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["checks"]["database"]["status"]) == (200, "ok")
        record = (await client.post(AUDITS, json=audit_body())).json()
        assert (await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})).status_code == 200


async def test_the_ledger_is_sealed_and_witnessed_through_pgbouncer(
    cluster: Cluster, database_settings: DatabaseSettings, connection: asyncpg.Connection, folder: Path
) -> None:
    """By two processes at once."""
    async with (
        run_witness(KEY.verifier) as witness,
        pgbouncer(cluster, folder, "transaction", default_pool_size="3") as socket,
        run_server(
            url_through(socket, database_settings),
            DATABASE_POOLER="transaction",
            WORKERS="2",
            LEDGER_INTERVAL="0.1",
            LEDGER_ORIGIN=ORIGIN,
            LEDGER_KEY=KEY.secret,
            LEDGER_WITNESSES=witness.setting,
        ) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        for _ in range(3):
            answer = await client.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 100})
            assert answer.status_code == 201
        async with asyncio.timeout(20):
            while (await client.get("/api/v1/ledger")).json()["witnesses"][0]["last_size"] < 300:
                await connection.execute("SELECT pg_sleep(0.1)")
        note = (await client.get("/api/v1/ledger/checkpoint")).text
    _, signatures = split_note(note)
    assert len(signatures) == 2
    assert await check_ledger(connection) == 0
    assert witness.size == 300
    assert "ERROR" not in {line["level"] for line in server.log()}


async def test_a_standby_is_not_ready(cluster: Cluster, database_settings: DatabaseSettings, folder: Path) -> None:
    async with (
        standby(cluster, folder) as follower,
        run_server(url_through(str(follower), database_settings)) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["checks"]["database"]["status"]) == (503, "read_only")
        assert (await client.get(AUDITS)).json()["items"] == []
        refused = await client.post(AUDITS, json=audit_body())
        assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable")
