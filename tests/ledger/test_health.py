"""Health says how the ledger is; the service serves all the same."""

import asyncpg
import httpx2
import pytest

from src.ledger.sealer import Sealer
from tests.ledger.revisions import write


async def check(client: httpx2.AsyncClient) -> str:
    answer = await client.get("/health")
    assert answer.status_code == 200, answer.text
    status: str = answer.json()["checks"]["ledger"]["status"]
    return status


@pytest.mark.usefixtures("database_settings")
async def test_health_names_each_state(
    client: httpx2.AsyncClient, signed: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    assert (await check(client), await check(signed)) == ("unsigned", "ok")
    await sealer.seal_all()
    await write(connection)
    assert await check(signed) == "ok"
    await connection.execute(
        "ALTER TABLE audit_revision DISABLE TRIGGER USER;"
        "UPDATE audit_revision SET changed_at = changed_at - interval '1 min'"
    )
    assert (await check(client), await check(signed)) == ("behind", "behind")
    await sealer.seal_all()
    assert await check(signed) == "ok"
    await connection.execute("UPDATE ledger SET database_oid = 1")
    assert await check(signed) == "cloned"
    async with connection.transaction():
        await connection.execute("LOCK TABLE ledger")
        assert await check(signed) == "unknown"


@pytest.mark.usefixtures("database_settings")
async def test_health_is_ready_where_the_row_of_the_ledger_is_gone(
    signed: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE ledger DISABLE TRIGGER USER; DELETE FROM ledger")
    assert await check(signed) == "unknown"
