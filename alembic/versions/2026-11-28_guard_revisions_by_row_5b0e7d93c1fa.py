"""guard revisions by row

The guard of revisions by statement lets pass what logical replication applies: that fires triggers of rows only, and of
these, as of statements (TRUNCATE), only those that are enabled always. Nothing of it runs when a row is inserted.

Revision ID: 5b0e7d93c1fa
Revises: 8d41e6b7a2c5
Create Date: 2026-11-28 01:10:00+00:00
"""

from alembic import op

revision = "5b0e7d93c1fa"
down_revision = "8d41e6b7a2c5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TRIGGER audit_revision_refuse_change_of_row BEFORE UPDATE OR DELETE ON audit_revision
            FOR EACH ROW EXECUTE FUNCTION audit_revision_refuse_change()
    """)
    op.execute("""
        ALTER TABLE audit_revision
            ENABLE ALWAYS TRIGGER audit_revision_refuse_change,
            ENABLE ALWAYS TRIGGER audit_revision_refuse_change_of_row
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE audit_revision ENABLE TRIGGER audit_revision_refuse_change")
    op.execute("DROP TRIGGER audit_revision_refuse_change_of_row ON audit_revision")
