"""The tables of the ledger domain. Triggers let rows be added only, and tiles grow at their end only."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from src.database import metadata
from src.transaction_ids import PGSnapshot

# One row: how far the ledger is. Every revision that is visible in `seen` has its entry; if `seen` is null, none needs
# to have. While revisions up to a snapshot are sealed in several transactions, `target` is that snapshot, and
# `after_audit_id` and `after_version` name the last revision that has been looked at.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Boolean, primary_key=True, server_default=text("true")),
    Column("origin", Text),
    # Which database this is. In a copy of it they differ from what PostgreSQL says.
    Column("system_identifier", BigInteger),
    Column("database_oid", BigInteger),
    Column("timeline_id", Integer),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("root", LargeBinary, nullable=False, server_default=text("sha256('')")),
    Column("seen", PGSnapshot),
    Column("target", PGSnapshot),
    Column("after_audit_id", Uuid, nullable=False, server_default=text("'00000000-0000-0000-0000-000000000000'::uuid")),
    Column("after_version", Integer, nullable=False, server_default=text("0")),
    Column("sealed_at", DateTime(timezone=True)),
    # Checkpoints up to this size have their line in the log.
    Column("logged_size", BigInteger, nullable=False, server_default=text("-1")),
    # Who knows a larger or another tree; then nothing is signed any more.
    Column("forked", Text),
    CheckConstraint("id", name="one_row"),
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("audit_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("operation", String(16, collation="C"), nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("audit_id", "version"),
    CheckConstraint("index >= 0", name="index"),
)

# Up to 256 hashes of one level of the tree, one behind the other.
ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    CheckConstraint("octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0", name="hashes"),
)

# One row for each size that was signed: a size of one origin has one root.
ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What witnesses have signed: one line of a note for each.
ledger_cosignature = Table(
    "ledger_cosignature",
    metadata,
    Column("origin", Text, primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("witness", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What is known of each witness, by its verifier key. Until `next_at` some process is asking it, or it is left alone.
ledger_witness = Table(
    "ledger_witness",
    metadata,
    Column("witness", Text, primary_key=True),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    # In which timeline of the database it has signed last.
    Column("timeline_id", Integer),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
