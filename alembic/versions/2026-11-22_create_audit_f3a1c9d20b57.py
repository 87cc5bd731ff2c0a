"""create audit

Revision ID: f3a1c9d20b57
Revises:
Create Date: 2026-11-22 10:40:00+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from src.migrations import drop_or_keep_table, restore_table

revision = "f3a1c9d20b57"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    if restore_table("audit"):
        return
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("action", sa.String(128, collation="C"), nullable=False),
        sa.Column("entity_type", sa.String(128, collation="C"), nullable=False),
        sa.Column("entity_id", sa.String(256, collation="C"), nullable=False),
        sa.Column("actor_type", sa.String(16, collation="C"), server_default="user", nullable=False),
        sa.Column("actor_id", sa.String(256, collation="C"), nullable=False),
        sa.Column("status", sa.String(16, collation="C"), server_default="success", nullable=False),
        sa.Column("details", postgresql.JSONB(none_as_null=True), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("correlation_id", sa.String(128, collation="C"), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("actor_type IN ('user', 'system', 'service', 'anonymous')", name="actor_type"),
        sa.CheckConstraint("status IN ('success', 'failure', 'pending')", name="status"),
        sa.CheckConstraint("jsonb_typeof(details) = 'object'", name="details_object"),
        sa.CheckConstraint("octet_length(details::text) <= 65536", name="details_size"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.CheckConstraint("isfinite(occurred_at)", name="occurred_at_finite"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_occurred_at_id_idx", "audit", ["occurred_at", "id"])


def downgrade() -> None:
    drop_or_keep_table("audit")
