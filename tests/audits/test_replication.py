"""A subscriber of logical replication gets new revisions, and refuses history that was rewritten at the source."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command

from scripts.postgres import Cluster
from tests.application import run_application
from tests.audits.factories import AUDITS, create_audit
from tests.audits.test_verify import PERMIT, collect_findings
from tests.conftest import driver_url, migrate, settings_for

SOURCE, COPY = "replication_source", "replication_copy"
PUBLISHED = "audit_id, version, operation, changed_at, changed_by, reason, record, salt, previous_hash, hash"
TRAIL = f"SELECT {PUBLISHED} FROM audit_revision ORDER BY audit_id, version"
REFUSED = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats"


@pytest.fixture
async def pair(own_cluster: Cluster) -> AsyncIterator[tuple[asyncpg.Connection, asyncpg.Connection]]:
    """A connection to a database that publishes its trail, and one to the database that subscribes to it."""
    await asyncio.to_thread(own_cluster.start)
    administrator = await asyncpg.connect(driver_url(settings_for(own_cluster)))
    await administrator.execute("ALTER SYSTEM SET wal_level = logical")
    await administrator.close()
    await asyncio.to_thread(own_cluster.stop)
    await asyncio.to_thread(own_cluster.start)
    administrator = await asyncpg.connect(driver_url(settings_for(own_cluster)))
    connections = []
    for name in (SOURCE, COPY):
        await administrator.execute(f"CREATE DATABASE {name}")
        await migrate(settings_for(own_cluster, name), command.upgrade, "head")
        connections.append(await asyncpg.connect(driver_url(settings_for(own_cluster, name))))
    source, copy = connections
    # Without xid, which means nothing in another cluster.
    await source.execute(f"CREATE PUBLICATION trail FOR TABLE audit, audit_event, audit_revision ({PUBLISHED})")
    # Within one cluster CREATE SUBSCRIPTION would wait for itself if it had to create the slot.
    await source.execute("SELECT pg_create_logical_replication_slot('trail', 'pgoutput')")
    yield source, copy
    await copy.execute("ALTER SUBSCRIPTION trail DISABLE")
    await copy.execute("ALTER SUBSCRIPTION trail SET (slot_name = NONE)")
    await copy.execute("DROP SUBSCRIPTION trail")
    await source.fetch("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    for connection, name in ((source, SOURCE), (copy, COPY)):
        await connection.close()
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administrator.close()


async def wait_until(connection: asyncpg.Connection, condition: str) -> None:
    async with asyncio.timeout(20):
        while not await connection.fetchval(condition):
            await connection.execute("SELECT pg_sleep(0.02)")


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE audit_revision SET reason = 'forged'",
        "DELETE FROM audit_revision WHERE version = 1",
        "TRUNCATE audit_revision",
    ],
)
async def test_a_subscriber_replicates_the_trail_and_refuses_rewritten_history(
    own_cluster: Cluster, pair: tuple[asyncpg.Connection, asyncpg.Connection], forgery: str
) -> None:
    source, copy = pair
    async with run_application(settings_for(own_cluster, SOURCE)) as client:
        record = await create_audit(client)
        await copy.execute(f"""
            CREATE SUBSCRIPTION trail CONNECTION 'host={own_cluster.socket_directory} user=app dbname={SOURCE}'
            PUBLICATION trail WITH (create_slot = false)
        """)
        await wait_until(copy, "SELECT count(*) = 1 FROM audit_revision")
        await wait_until(copy, "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
        await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"})
        await create_audit(client, source="s", event_id="1")
        await wait_until(copy, "SELECT count(*) = 3 FROM audit_revision")
    recorded = await source.fetch(TRAIL)
    await source.execute(f"{PERMIT}; {forgery}")
    assert await source.fetch(TRAIL) != recorded
    await wait_until(copy, REFUSED)
    assert await copy.fetch(TRAIL) == recorded
    assert await collect_findings(settings_for(own_cluster, COPY)) == []
