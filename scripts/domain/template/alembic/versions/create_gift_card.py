"""create gift card

Revision ID: 0123456789ab
Revises: ba9876543210
Create Date: 2026-01-31 12:00:00+00:00
"""

import sqlalchemy as sa
from alembic import op

from src.migrations import drop_or_keep_table, restore_table

revision = "0123456789ab"
down_revision = "ba9876543210"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if restore_table("gift_card"):
        return
    op.create_table(
        "gift_card",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(128, collation="C"), nullable=False),
        sa.Column("description", sa.String(1000, collation="C"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    drop_or_keep_table("gift_card")
