"""record events once

Each pair of `source` and `event_id` is recorded once. Their table is append-only as `audit_revision` is. No row of
`audit` is written; its new indexes are empty, but PostgreSQL reads the table once to build each.

Revision ID: e64b18d05c3f
Revises: c27f9a40e6d8
Create Date: 2026-11-28 09:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

from src.migrations import drop_or_keep_table, restore_table

revision = "e64b18d05c3f"
down_revision = "c27f9a40e6d8"
branch_labels = None
depends_on = None

FILTERS = ("source", "event_id")


def upgrade() -> None:
    # A downgrade keeps what these columns hold.
    for name in FILTERS:
        op.add_column("audit", sa.Column(name, sa.String(256, collation="C"), nullable=True), if_not_exists=True)
        op.create_index(
            f"audit_{name}_idx",
            "audit",
            [name, "occurred_at", "id"],
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
            if_not_exists=True,
        )
    op.add_column(
        "audit_idempotency_key", sa.Column("created", sa.ARRAY(sa.Boolean()), nullable=True), if_not_exists=True
    )
    create_event_table()


def create_event_table() -> None:
    if restore_table("audit_event"):
        return
    op.create_table(
        "audit_event",
        sa.Column("source", sa.String(256, collation="C"), nullable=False),
        sa.Column("event_id", sa.String(256, collation="C"), nullable=False),
        sa.Column("audit_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id"),
    )
    op.execute("""
        CREATE OR REPLACE FUNCTION audit_event_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE 'audit_event is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_event_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
            FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse_change()
    """)
    op.execute("""
        CREATE TRIGGER audit_event_refuse_change_of_row BEFORE UPDATE OR DELETE ON audit_event
            FOR EACH ROW EXECUTE FUNCTION audit_event_refuse_change()
    """)
    op.execute("""
        ALTER TABLE audit_event
            ENABLE ALWAYS TRIGGER audit_event_refuse_change,
            ENABLE ALWAYS TRIGGER audit_event_refuse_change_of_row
    """)


def downgrade() -> None:
    """The columns and their indexes stay, since they hold what was recorded. The release before does not see them."""
    drop_or_keep_table("audit_event")
    # A table that is kept keeps its triggers, which need the function.
    if op.get_bind().scalar(sa.text("SELECT to_regclass('rolled_back.audit_event') IS NULL")):
        op.execute("DROP FUNCTION audit_event_refuse_change()")
