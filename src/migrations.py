"""What migrations share, and which revision of the schema this code expects."""

from dataclasses import dataclass
from functools import cache

from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from src.config import PROJECT_ROOT

# Any number will do, as long as nobody else's advisory lock has it.
MIGRATION_LOCK = 7_462_001

ROLLED_BACK = "rolled_back"
"""The schema that keeps what a downgrade would otherwise have destroyed."""


@dataclass(frozen=True)
class Revisions:
    head: str | None
    known: frozenset[str]


@cache
def load_revisions() -> Revisions:
    """Read the migration files; a script error shows here, at start, and not in the first health check.

    Once in a process, which takes 12 ms: the tests start the application hundreds of times.
    """
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    return Revisions(scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions()))


def restore_table(name: str) -> bool:
    """In an upgrade, before creating a table: bring it back with its rows where a downgrade has kept it."""
    if not _is_true(f"to_regclass('{ROLLED_BACK}.{name}') IS NOT NULL"):
        return False
    op.execute(f"ALTER TABLE {ROLLED_BACK}.{name} SET SCHEMA {_current_schema()}")
    if not _is_true(f"EXISTS (SELECT FROM pg_class WHERE relnamespace = '{ROLLED_BACK}'::regnamespace)"):
        op.execute(f"DROP SCHEMA {ROLLED_BACK}")
    return True


def drop_or_keep_table(name: str) -> None:
    """In a downgrade: drop an empty table, and move one that holds rows to the schema `rolled_back`."""
    op.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")
    if not _is_true(f"EXISTS (SELECT FROM {name})"):
        op.drop_table(name)
        return
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {ROLLED_BACK}")
    op.execute(f"ALTER TABLE {name} SET SCHEMA {ROLLED_BACK}")


def _is_true(condition: str) -> bool:
    return bool(op.get_bind().scalar(text(f"SELECT {condition}")))


def _current_schema() -> str:
    return str(op.get_bind().scalar(text("SELECT quote_ident(current_schema())")))
