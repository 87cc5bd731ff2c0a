"""Databases to measure in: migrated, seeded once, and kept for the next run."""

import asyncio
import hashlib
import logging
from datetime import timedelta
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import make_url

from scripts.postgres import Cluster
from src.config import PROJECT_ROOT, DatabaseSettings
from tests.benchmarks.servers import driver_url

logger = logging.getLogger(__name__)

BETWEEN_RECORDS = timedelta(seconds=30)
# What both seeds begin with: `at` is the time of the record, and `n` its number.
_INTO_AUDIT = """
    INSERT INTO audit (
        id, occurred_at, recorded_at, updated_at, action, entity_type, entity_id, actor_type, actor_id, status,
        correlation_id, details
    )
    SELECT
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
        at, at, at,"""
# As records come in: ids and times rise together. What is rare has as many matches at any size.
SEED = f"""{_INTO_AUDIT}
        CASE WHEN n % $2 = 7 THEN 'rare.action'
            ELSE (ARRAY['invoice.create', 'invoice.update', 'invoice.void', 'user.login', 'report.view'])[1 + n % 5]
        END,
        CASE WHEN n % $2 = 7 THEN 'rare' ELSE (ARRAY['invoice', 'user', 'report'])[1 + n % 3] END,
        'E-' || n % greatest($1 / 5, 1),
        CASE WHEN n % $2 = 7 THEN 'system' ELSE 'user' END,
        'u-' || n % greatest($1 / 50, 1),
        CASE WHEN n % $2 = 7 THEN 'pending' WHEN n % 50 = 1 THEN 'failure' ELSE 'success' END,
        CASE WHEN n % 3 = 0 THEN 'c-' || n / 15 END,
        jsonb_build_object('ip', '10.0.' || n % 255 || '.' || n / 255 % 255, 'amount', jsonb_build_object(
            'from', n % 1000, 'to', n % 1000 + 20), 'tenant', 't-' || n % greatest($1 / 100, 1), 'note', md5(n::text))
    FROM (
        SELECT n, timestamptz '2026-06-01Z' - ($1 - n) * $3::interval AS at FROM generate_series(1, $1) AS n
    ) AS numbered
"""
_RARE = 30  # records of each rare kind
# A year of working days: few at night, bursts at full hours, an import at one instant, an hour in which much fails, and
# values of which a few are common and most are rare (Zipf).
SKEWED_SEED = f"""{_INTO_AUDIT}
        (ARRAY['invoice', 'user', 'report', 'order', 'deploy', 'file', 'rule', 'key'])[1 + kind % 8] || '.'
            || (ARRAY['update', 'view', 'create', 'delete', 'login', 'approve', 'void', 'list', 'move'])[1 + kind / 8],
        (ARRAY['invoice', 'user', 'report', 'order', 'deploy', 'file', 'rule', 'key'])[1 + kind % 8],
        'E-' || floor(random() ^ 3 * $1 / 5)::int,
        (ARRAY['user', 'service', 'system', 'anonymous'])[1 + floor(random() ^ 4 * 4)::int],
        'u-' || floor(exp(random() * ln(5000)))::int,
        CASE WHEN random() < CASE WHEN part BETWEEN 0.7 AND 0.702 THEN 0.6 ELSE 0.02 END THEN 'failure'
            WHEN random() < 0.01 THEN 'pending' ELSE 'success' END,
        CASE WHEN n % 3 = 0 THEN 'c-' || n / 15 END,
        jsonb_build_object('tenant', 't-' || floor(exp(random() * ln(50)))::int, 'note', md5(n::text))
    FROM (
        SELECT n, part, floor(exp(random() * ln(73)))::int - 1 AS kind, CASE
            WHEN part BETWEEN 0.4 AND 0.41 THEN timestamptz '2025-10-14 09:30Z'
            WHEN n / 500 % 10 = 3 THEN date_trunc('hour', at) + n % 500 * interval '3 milliseconds'
            ELSE at END AS at
        FROM (
            SELECT n, n::float / $1 AS part, timestamptz '2025-06-02Z'
                + floor(days) * interval '1 day' + floor(days / 5) * interval '2 days'
                + (days - floor(days) - 0.14 * sin(2 * pi() * (days - floor(days)))) * interval '1 day' AS at
            FROM (SELECT n, n::float / $1 * 260 AS days FROM generate_series(1, $1::int) AS n) AS numbered
        ) AS timed
    ) AS placed
"""


async def seeded(cluster: Cluster, rows: int, *, is_skewed: bool = False) -> str:
    """The URL of a database with so many records; made when it is first asked for."""
    name = f"{'skewed' if is_skewed else 'seeded'}_{rows}_{_fingerprint(SKEWED_SEED if is_skewed else SEED)}"
    administrator = await asyncpg.connect(driver_url(cluster.url("postgres")))
    try:
        if not await administrator.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            logger.info("seeding %s records", f"{rows:,}")
            unfinished = f"{name}_unfinished"
            await administrator.execute(f"DROP DATABASE IF EXISTS {unfinished}")
            await administrator.execute(f"CREATE DATABASE {unfinished}")
            await _fill(cluster.url(unfinished), rows, is_skewed)
            await administrator.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    finally:
        await administrator.close()
    return cluster.url(name)


async def fresh_copy(cluster: Cluster, rows: int, name: str) -> str:
    """The URL of a copy that may be written to; the one of the run before is dropped."""
    template = make_url(await seeded(cluster, rows)).database
    administrator = await asyncpg.connect(driver_url(cluster.url("postgres")))
    try:
        await administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    finally:
        await administrator.close()
    return cluster.url(name)


async def _fill(url: str, rows: int, is_skewed: bool) -> None:
    settings = DatabaseSettings(database_url=SecretStr(url))
    config = Config(PROJECT_ROOT / "alembic.ini", attributes={"database_settings": settings})
    await asyncio.to_thread(command.upgrade, config, "head")
    connection = await asyncpg.connect(driver_url(url))
    try:
        # An index is faster built at the end than row by row.
        indexes = [
            record["indexdef"]
            for record in await connection.fetch(
                "SELECT indexdef FROM pg_indexes WHERE tablename = 'audit' AND indexname <> 'audit_pkey'"
            )
        ]
        for definition in indexes:
            await connection.execute(f"DROP INDEX {definition.split()[2]}")
        if is_skewed:
            await connection.execute("SELECT setseed(0.5)")
            await connection.execute(SKEWED_SEED, rows)
        else:
            await connection.execute(SEED, rows, max(rows // _RARE, 8), BETWEEN_RECORDS)
        for definition in indexes:
            await connection.execute(definition)
        await connection.execute("VACUUM (FREEZE, ANALYZE) audit")
    finally:
        await connection.close()


def _fingerprint(seed: str) -> str:
    """A database of another seed or another schema is of no use."""
    revisions = sorted(path.name for path in Path(PROJECT_ROOT, "alembic", "versions").glob("*.py"))
    return hashlib.sha256(repr((seed, _RARE, BETWEEN_RECORDS, revisions)).encode()).hexdigest()[:8]
