"""widen names

Names take 256 characters, and ids of entities and actors 1,024. No row is rewritten and no index built: PostgreSQL
only changes its catalogue where a text column gets longer.

Revision ID: c27f9a40e6d8
Revises: 5b0e7d93c1fa
Create Date: 2026-11-28 08:45:00+00:00
"""

from alembic import op

from src.migrations import analyze_after_commit

revision = "c27f9a40e6d8"
down_revision = "5b0e7d93c1fa"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE audit
            ALTER COLUMN action TYPE varchar(256) COLLATE "C",
            ALTER COLUMN entity_type TYPE varchar(256) COLLATE "C",
            ALTER COLUMN entity_id TYPE varchar(1024) COLLATE "C",
            ALTER COLUMN actor_id TYPE varchar(1024) COLLATE "C"
    """)
    analyze_after_commit("audit")


def downgrade() -> None:
    """The columns stay as they are: narrower ones would not hold what is longer. The release before reads them too."""
