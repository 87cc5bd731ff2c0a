"""keep ledger

No row is rewritten: revisions that are there have no transaction id, and the sealer takes them first.

Revision ID: c4d7a91e06b3
Revises: a91c04de72b3
Create Date: 2026-11-28 09:30:00+00:00
"""

import sqlalchemy as sa
from alembic import op

from src.migrations import drop_or_keep_table, restore_table
from src.transaction_ids import XID8, PGSnapshot

revision = "c4d7a91e06b3"
down_revision = "a91c04de72b3"
branch_labels = None
depends_on = None

TABLES = ("ledger", "ledger_entry", "ledger_tile", "ledger_checkpoint", "ledger_cosignature", "ledger_witness")


def upgrade() -> None:
    # The column is there after a rollback, with what was recorded meanwhile.
    op.execute("ALTER TABLE audit_revision ADD COLUMN IF NOT EXISTS xid xid8")
    op.alter_column("audit_revision", "xid", server_default=sa.text("pg_current_xact_id()"), existing_type=XID8())
    create_functions()
    creators = (create_ledger, create_entries, create_tiles, create_checkpoints, create_cosignatures, create_witnesses)
    for name, create in zip(TABLES, creators, strict=True):
        if not restore_table(name):
            create()
            if name != "ledger_witness":
                guard(name)


def create_ledger() -> None:
    no_id = sa.text("'00000000-0000-0000-0000-000000000000'::uuid")
    op.create_table(
        "ledger",
        sa.Column("id", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("system_identifier", sa.BigInteger(), nullable=True),
        sa.Column("database_oid", sa.BigInteger(), nullable=True),
        sa.Column("timeline_id", sa.Integer(), nullable=True),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("root", sa.LargeBinary(), server_default=sa.text("sha256('')"), nullable=False),
        sa.Column("seen", PGSnapshot(), nullable=True),
        sa.Column("target", PGSnapshot(), nullable=True),
        sa.Column("after_audit_id", sa.Uuid(), server_default=no_id, nullable=False),
        sa.Column("after_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("logged_size", sa.BigInteger(), server_default=sa.text("-1"), nullable=False),
        sa.Column("forked", sa.Text(), nullable=True),
        sa.CheckConstraint("id", name="one_row"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO ledger DEFAULT VALUES")


def create_entries() -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(16, collation="C"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("index >= 0", name="index"),
        sa.PrimaryKeyConstraint("index"),
        sa.UniqueConstraint("audit_id", "version"),
    )


def create_tiles() -> None:
    op.create_table(
        "ledger_tile",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0", name="hashes"),
        sa.PrimaryKeyConstraint("level", "number"),
    )
    # Hashes cannot be compressed.
    op.execute("ALTER TABLE ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL")


def create_checkpoints() -> None:
    op.create_table(
        "ledger_checkpoint",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "size"),
    )


def create_cosignatures() -> None:
    op.create_table(
        "ledger_cosignature",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("origin", "size", "witness"),
    )


def create_witnesses() -> None:
    op.create_table(
        "ledger_witness",
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("timeline_id", sa.Integer(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("witness"),
    )


def create_functions() -> None:
    op.execute("""
        CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
        END $$
    """)
    op.execute("""
        CREATE OR REPLACE FUNCTION ledger_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.size < OLD.size OR NEW.size = OLD.size AND NEW.root <> OLD.root THEN
                RAISE 'ledger only grows: UPDATE is refused' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    # Of a new key a checkpoint gets one more signature.
    op.execute("""
        CREATE OR REPLACE FUNCTION ledger_checkpoint_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.origin, NEW.size, NEW.root, NEW.created_at) <> (OLD.origin, OLD.size, OLD.root, OLD.created_at)
                OR NOT starts_with(NEW.note, OLD.note)
            THEN
                RAISE 'ledger_checkpoint only grows: UPDATE is refused' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE OR REPLACE FUNCTION ledger_tile_only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF (NEW.level, NEW.number) <> (OLD.level, OLD.number)
                OR substr(NEW.hashes, 1, octet_length(OLD.hashes)) <> OLD.hashes
            THEN
                RAISE 'ledger_tile only grows: UPDATE is refused' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END $$
    """)


def guard(table: str) -> None:
    """Triggers of rows, since logical replication fires no others, and of statements, for TRUNCATE; all fire always."""
    grows = f"{table}_only_grow" if table in ("ledger", "ledger_tile", "ledger_checkpoint") else None
    refused = "DELETE" if grows else "UPDATE OR DELETE"
    triggers = {
        f"{table}_refuse_change": f"{refused} OR TRUNCATE ON {table} FOR EACH STATEMENT",
        f"{table}_refuse_change_of_row": f"{refused} ON {table} FOR EACH ROW",
    }
    for name, when in triggers.items():
        op.execute(f"CREATE TRIGGER {name} BEFORE {when} EXECUTE FUNCTION ledger_refuse_change()")
    if grows:
        op.execute(f"CREATE TRIGGER {grows} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {grows}()")
    for name in [*triggers, *filter(None, [grows])]:
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def downgrade() -> None:
    """The column `xid` stays, and its default too: with it, the ledger goes on after the next upgrade."""
    op.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM ledger_entry)")):
        # Tables that are kept keep their triggers, which need the functions.
        for name in TABLES:
            drop_or_keep_table(name)
        return
    # A checkpoint of no entries says nothing.
    for name in TABLES:
        op.drop_table(name)
    op.execute(
        "DROP FUNCTION ledger_refuse_change, ledger_only_grow, ledger_tile_only_grow, ledger_checkpoint_only_grow"
    )
