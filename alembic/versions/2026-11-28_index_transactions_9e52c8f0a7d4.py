"""index transactions

Writes go on while the index is built. It leaves out the revisions from before, which have no transaction id.

Revision ID: 9e52c8f0a7d4
Revises: c4d7a91e06b3
Create Date: 2026-11-28 09:40:00+00:00
"""

from alembic import op

from src.migrations import create_index_concurrently

revision = "9e52c8f0a7d4"
down_revision = "c4d7a91e06b3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently("audit_revision_xid_idx", "audit_revision (xid) WHERE xid IS NOT NULL")


def downgrade() -> None:
    op.drop_index("audit_revision_xid_idx", table_name="audit_revision")
