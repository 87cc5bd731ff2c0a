"""The tables of the audits domain."""

from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from src.audits.constants import (
    MAX_CORRELATION_ID_LENGTH,
    MAX_DETAILS_BYTES,
    MAX_ID_LENGTH,
    MAX_IDEMPOTENCY_KEY_LENGTH,
    MAX_NAME_LENGTH,
    MAX_REASON_LENGTH,
    MAX_TEXT_LENGTH,
    ActorType,
    AuditStatus,
    Operation,
)
from src.database import metadata
from src.transaction_ids import XID8


def _text(length: int) -> String:
    # Bytes are compared, so that a prefix can use the index, and an upgrade of the system's locales cannot corrupt it.
    return String(length, collation="C")


def _one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    allowed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("occurred_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("action", _text(MAX_NAME_LENGTH), nullable=False),
    Column("entity_type", _text(MAX_NAME_LENGTH), nullable=False),
    Column("entity_id", _text(MAX_ID_LENGTH), nullable=False),
    Column("actor_type", _text(16), nullable=False, server_default=ActorType.USER),
    Column("actor_id", _text(MAX_ID_LENGTH), nullable=False),
    Column("status", _text(16), nullable=False, server_default=AuditStatus.SUCCESS),
    Column("details", JSONB(none_as_null=True), nullable=False, server_default=text("'{}'")),
    Column("correlation_id", _text(MAX_CORRELATION_ID_LENGTH)),
    Column("version", Integer, nullable=False, server_default=text("1")),
    # The hash of the last revision, which the next one needs. It is null in a row that was written without the
    # service; `make verify` reports such rows.
    Column("hash", LargeBinary),
    # Both are null, or neither.
    Column("source", _text(MAX_TEXT_LENGTH)),
    Column("event_id", _text(MAX_TEXT_LENGTH)),
    _one_of("actor_type", ActorType),
    _one_of("status", AuditStatus),
    CheckConstraint("jsonb_typeof(details) = 'object'", name="details_object"),
    CheckConstraint(f"octet_length(details::text) <= {MAX_DETAILS_BYTES}", name="details_size"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("isfinite(occurred_at)", name="occurred_at_finite"),
    # For GET /audits without a filter.
    Index("audit_occurred_at_id_idx", "occurred_at", "id"),
    # One index for each filter, in the same order; tests/audits/test_plans.py checks which filter uses which index.
    Index("audit_action_idx", "action", "occurred_at", "id"),
    Index("audit_entity_type_idx", "entity_type", "occurred_at", "id"),
    Index("audit_entity_id_idx", "entity_id", "occurred_at", "id"),
    Index("audit_actor_type_idx", "actor_type", "occurred_at", "id"),
    Index("audit_actor_id_idx", "actor_id", "occurred_at", "id"),
    Index("audit_status_idx", "status", "occurred_at", "id"),
    *(
        Index(f"audit_{name}_idx", name, "occurred_at", "id", postgresql_where=text(f"{name} IS NOT NULL"))
        for name in ("correlation_id", "source", "event_id")
    ),
    Index("audit_details_idx", "details", postgresql_using="gin", postgresql_ops={"details": "jsonb_path_ops"}),
)

# One row for each version of a record. The rows of a record that was removed stay.
audit_revision = Table(
    "audit_revision",
    metadata,
    Column("audit_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("operation", _text(16), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("changed_by", _text(MAX_TEXT_LENGTH)),
    Column("reason", _text(MAX_REASON_LENGTH)),
    Column("record", JSONB(none_as_null=True), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("previous_hash", LargeBinary),
    Column("hash", LargeBinary, nullable=False),
    # The transaction that wrote the row tells the ledger what is new. Null in rows from before there was a ledger.
    Column("xid", XID8, server_default=text("pg_current_xact_id()")),
    _one_of("operation", Operation),
    CheckConstraint("version >= 1", name="version"),
    Index("audit_revision_xid_idx", "xid", postgresql_where=text("xid IS NOT NULL")),
)

# The record that was made of each event of a producer. A row stays when the record is removed, so that a late delivery
# does not record the event again.
audit_event = Table(
    "audit_event",
    metadata,
    Column("source", _text(MAX_TEXT_LENGTH), primary_key=True),
    Column("event_id", _text(MAX_TEXT_LENGTH), primary_key=True),
    Column("audit_id", Uuid, nullable=False),
)

# The records that a request with an idempotency key was answered with. A key belongs to its endpoint.
audit_idempotency_key = Table(
    "audit_idempotency_key",
    metadata,
    Column("endpoint", _text(64), primary_key=True),
    Column("key", _text(MAX_IDEMPOTENCY_KEY_LENGTH), primary_key=True),
    Column("payload_hash", LargeBinary, nullable=False),
    # Null in the place of an item that was refused, whose answer is in the same place of `problems`.
    Column("audit_ids", ARRAY(Uuid), nullable=False),
    Column("problems", ARRAY(Text)),
    Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
    # Whether the request created each of them. Null: it created all.
    Column("created", ARRAY(Boolean)),
)
