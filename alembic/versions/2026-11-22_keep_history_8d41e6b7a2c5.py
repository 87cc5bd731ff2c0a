"""keep history

Every change of a record is a revision from here on. What was recorded before has none, and `make verify` says so.

Revision ID: 8d41e6b7a2c5
Revises: f3a1c9d20b57
Create Date: 2026-11-22 11:30:00+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from src.migrations import drop_or_keep_table, restore_table

revision = "8d41e6b7a2c5"
down_revision = "f3a1c9d20b57"
branch_labels = None
depends_on = None

FILTERS = ("action", "entity_type", "entity_id", "actor_type", "actor_id", "status")


def upgrade() -> None:
    op.add_column("audit", sa.Column("hash", sa.LargeBinary(), nullable=True))
    for name in FILTERS:
        op.create_index(f"audit_{name}_idx", "audit", [name, "occurred_at", "id"])
    op.create_index(
        "audit_correlation_id_idx",
        "audit",
        ["correlation_id", "occurred_at", "id"],
        postgresql_where=sa.text("correlation_id IS NOT NULL"),
    )
    op.create_index(
        "audit_details_idx",
        "audit",
        ["details"],
        postgresql_using="gin",
        postgresql_ops={"details": "jsonb_path_ops"},
    )
    create_revision_table()
    create_key_table()
    # After a rollback, the records of this table are there and their chains are too.
    op.execute("""
        UPDATE audit SET hash = revision.hash FROM audit_revision AS revision
        WHERE revision.audit_id = audit.id
          AND revision.version = (SELECT max(version) FROM audit_revision WHERE audit_id = audit.id)
    """)


def create_revision_table() -> None:
    if restore_table("audit_revision"):
        return
    op.create_table(
        "audit_revision",
        sa.Column("audit_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("operation", sa.String(16, collation="C"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(256, collation="C"), nullable=True),
        sa.Column("reason", sa.String(512, collation="C"), nullable=True),
        sa.Column("record", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("operation IN ('create', 'update', 'delete')", name="operation"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.PrimaryKeyConstraint("audit_id", "version"),
    )
    op.execute("""
        CREATE OR REPLACE FUNCTION audit_revision_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE 'audit_revision is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_revision_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_revision
            FOR EACH STATEMENT EXECUTE FUNCTION audit_revision_refuse_change()
    """)


def create_key_table() -> None:
    if restore_table("audit_idempotency_key"):
        return
    op.create_table(
        "audit_idempotency_key",
        sa.Column("endpoint", sa.String(64, collation="C"), nullable=False),
        sa.Column("key", sa.String(255, collation="C"), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column("audit_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "key"),
    )
    op.create_index("audit_idempotency_key_expires_at_idx", "audit_idempotency_key", ["expires_at"])


def downgrade() -> None:
    drop_or_keep_table("audit_idempotency_key")
    drop_or_keep_table("audit_revision")
    # A table that is kept keeps its trigger, which needs the function.
    if op.get_bind().scalar(sa.text("SELECT to_regclass('rolled_back.audit_revision') IS NULL")):
        op.execute("DROP FUNCTION audit_revision_refuse_change()")
    for name in (*FILTERS, "correlation_id", "details"):
        op.drop_index(f"audit_{name}_idx", table_name="audit")
    op.drop_column("audit", "hash")
