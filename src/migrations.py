"""Helpers for migrations."""

from alembic import op
from sqlalchemy import Connection, text

# Any number that no other advisory lock uses.
MIGRATION_LOCK = 7_462_001

# Fail rather than queue behind a long transaction, with all other traffic waiting behind us.
SET_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"

ROLLED_BACK = "rolled_back"
"""The schema to which a downgrade moves tables that hold rows, instead of dropping them."""

_TO_ANALYZE = "to_analyze"


def create_index_concurrently(name: str, definition: str) -> None:
    """Build an index while writes go on. It commits what the migration has done so far.

    A build that was interrupted leaves an index that nothing uses, so that one is built anew.
    """
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
    op.execute(SET_LOCK_TIMEOUT)


def restore_table(name: str) -> bool:
    """Bring back a table that a downgrade kept, with its rows. Returns whether there was one.

    An upgrade calls it before it creates the table.
    """
    if not _is_true(f"to_regclass('{ROLLED_BACK}.{name}') IS NOT NULL"):
        return False
    op.execute(f"ALTER TABLE {ROLLED_BACK}.{name} SET SCHEMA {_current_schema()}")
    if not _is_true(f"EXISTS (SELECT FROM pg_class WHERE relnamespace = '{ROLLED_BACK}'::regnamespace)"):
        op.execute(f"DROP SCHEMA {ROLLED_BACK}")
    return True


def drop_or_keep_table(name: str) -> None:
    """Drop a table if it is empty, else move it to the schema `rolled_back`. For downgrades."""
    op.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    if not _is_true(f"EXISTS (SELECT FROM {name})"):
        op.drop_table(name)
        return
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {ROLLED_BACK}")
    op.execute(f"ALTER TABLE {name} SET SCHEMA {ROLLED_BACK}")


def analyze_after_commit(name: str) -> None:
    """Have statistics of a table collected once the migration has committed, and its locks are gone.

    PostgreSQL drops the statistics of a column whose type changes, and without them it may choose a slow plan.
    """
    op.get_bind().info.setdefault(_TO_ANALYZE, set()).add(name)


def analyze(connection: Connection) -> None:
    """Collect the statistics that migrations have asked for. `alembic/env.py` calls it after their commit."""
    for name in sorted(connection.info.pop(_TO_ANALYZE, ())):
        connection.execute(text(f"ANALYZE {name}"))
    connection.commit()


def _is_true(condition: str) -> bool:
    return bool(op.get_bind().scalar(text(f"SELECT {condition}")))


def _current_schema() -> str:
    return str(op.get_bind().scalar(text("SELECT quote_ident(current_schema())")))
