"""keep problems

A key of a partial batch keeps the problems of the items that were refused, so that a retry gets the same answer.

Revision ID: a91c04de72b3
Revises: e64b18d05c3f
Create Date: 2026-11-28 09:00:00+00:00
"""

from alembic import op

revision = "a91c04de72b3"
down_revision = "e64b18d05c3f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE audit_idempotency_key ADD COLUMN IF NOT EXISTS problems text[]")


def downgrade() -> None:
    """The column stays, so that a batch that is sent again after the next upgrade is not recorded twice.

    The release before knows no partial batch, and does not read it.
    """
