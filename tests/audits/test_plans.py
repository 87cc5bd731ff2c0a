"""Each filter uses its index, which also gives the order, so that PostgreSQL need not sort."""

import random
import re
from typing import Any

import asyncpg

from src.audits import listing
from src.audits.schemas import AuditQuery
from src.config import DatabaseSettings
from src.engines import limits
from src.pagination import Count, Order
from tests.conftest import driver_url

# Each value is rare, so that reading all records in order would take long.
SERVED_BY: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "audit_occurred_at_id_idx"),
    "occurred_from": ({"occurred_from": "2026-01-01T05:00:00Z"}, "audit_occurred_at_id_idx"),
    "occurred_to": ({"occurred_to": "2026-01-01T00:01:00Z"}, "audit_occurred_at_id_idx"),
    "action": ({"action": ["rare.7"]}, "audit_action_idx"),
    "action, prefix": ({"action": ["rare.*"]}, "audit_action_idx"),
    "entity_type": ({"entity_type": "rare"}, "audit_entity_type_idx"),
    "entity_type, prefix": ({"entity_type": "ra*"}, "audit_entity_type_idx"),
    "entity_id": ({"entity_id": "7"}, "audit_entity_id_idx"),
    "entity_type and entity_id": ({"entity_type": "e", "entity_id": "7"}, "audit_entity_id_idx"),
    "actor_type": ({"actor_type": "system"}, "audit_actor_type_idx"),
    "actor_id": ({"actor_id": "u-7"}, "audit_actor_id_idx"),
    "status": ({"status": ["pending"]}, "audit_status_idx"),
    "correlation_id": ({"correlation_id": "c-7"}, "audit_correlation_id_idx"),
    "source": ({"source": "s-7"}, "audit_source_idx"),
    "event_id": ({"event_id": "e-7"}, "audit_event_id_idx"),
    "source and event_id": ({"source": "s", "event_id": "e-8"}, "audit_event_id_idx"),
    "details": ({"details": {"n": 7}}, "audit_details_idx"),
    "details, a number with two texts": ({"details": {"n": 2**60}}, "audit_details_idx"),
}
SEED = """
    INSERT INTO audit (
        id, action, entity_type, entity_id, actor_type, actor_id, status, correlation_id, details, occurred_at,
        source, event_id
    )
    SELECT gen_random_uuid(), CASE n % 2000 WHEN 7 THEN 'rare.' || n ELSE 'common' END,
        CASE n % 2000 WHEN 7 THEN 'rare' ELSE 'e' END, n::text, CASE n % 2000 WHEN 7 THEN 'system' ELSE 'user' END,
        'u-' || n % 5000, CASE n % 2000 WHEN 7 THEN 'pending' ELSE 'success' END,
        CASE WHEN n % 3 = 1 THEN 'c-' || n END, jsonb_build_object('n', n),
        timestamptz '2026-01-01Z' + n * interval '1 second', CASE n % 2000 WHEN 7 THEN 's-' || n ELSE 's' END, 'e-' || n
    FROM generate_series(1, 20000) AS n
"""


EXPLAIN_ALL = (
    "LOAD 'auto_explain'",
    "SET auto_explain.log_min_duration = 0",
    "SET client_min_messages = log",
)


async def test_each_filter_uses_its_index(database_settings: DatabaseSettings, connection: asyncpg.Connection) -> None:
    await connection.execute(SEED)
    await connection.execute("VACUUM ANALYZE audit")
    queries = {name: query for name, (query, _) in SERVED_BY.items()}
    assert await find_indexes(database_settings, queries) == {name: {index} for name, (_, index) in SERVED_BY.items()}


def random_text(length: int, first: int, last: int) -> str:
    """Text that PostgreSQL cannot compress, so that an entry of an index takes all of its bytes."""
    return "".join(map(chr, random.Random(length).choices(range(first, last), k=length)))


# 256 characters of 4 bytes; 1,024 characters and 2,000 bytes. The values differ only at their ends.
LONG_NAME, LONG_ID = random_text(248, 0x10000, 0x20000), random_text(976, 0x100, 0x800)
SEED_LONG = """
    INSERT INTO audit (id, action, entity_type, entity_id, actor_id, occurred_at)
    SELECT gen_random_uuid(), $1 || lpad(n::text, 8, '-'), $1 || lpad(n::text, 8, '-'), $2 || lpad(n::text, 48, '-'),
        $2 || lpad(n::text, 48, '-'), timestamptz '2026-01-01Z' + n * interval '1 second'
    FROM generate_series(1, 3000) AS n
"""
LONG: dict[str, tuple[dict[str, Any], str]] = {
    "action": ({"action": [f"{LONG_NAME}{7:->8}"]}, "audit_action_idx"),
    "action, prefix": ({"action": [f"{LONG_NAME}-----77*"]}, "audit_action_idx"),
    "entity_type": ({"entity_type": f"{LONG_NAME}{7:->8}"}, "audit_entity_type_idx"),
    "entity_type, prefix": ({"entity_type": f"{LONG_NAME}-----77*"}, "audit_entity_type_idx"),
    "entity_id": ({"entity_id": f"{LONG_ID}{7:->48}"}, "audit_entity_id_idx"),
    "actor_id": ({"actor_id": f"{LONG_ID}{7:->48}"}, "audit_actor_id_idx"),
}


async def test_each_filter_by_a_text_of_the_greatest_length_uses_its_index(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute(SEED_LONG, LONG_NAME, LONG_ID)
    await connection.execute("VACUUM ANALYZE audit")
    queries = {name: query for name, (query, _) in LONG.items()}
    assert await find_indexes(database_settings, queries) == {name: {index} for name, (_, index) in LONG.items()}


async def find_indexes(database_settings: DatabaseSettings, queries: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """The indexes that each query of the list uses."""
    plans: list[str] = []
    served = {}
    application = await asyncpg.connect(driver_url(database_settings), server_settings=limits(database_settings))
    application.add_log_listener(lambda _, message: plans.append(message.message))
    for statement in EXPLAIN_ALL:
        await application.execute(statement)
    for name, query in queries.items():
        values = listing.page_parameters(AuditQuery.model_validate(query), None)
        page = listing.page_statement(tuple(values), Order.DESC, Count.NONE)
        await application.fetch(page.sql, *page.arguments(values))
        # PostgreSQL logs a plan when the next statement replaces it.
        await application.execute("SELECT 1")
        served[name] = set(re.findall(r"(audit_\w+_idx)", " ".join(plans)))
        plans.clear()
    await application.close()
    return served
