"""The tables of the audits domain."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, String, Table, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from src.audits.constants import (
    MAX_CORRELATION_ID_LENGTH,
    MAX_DETAILS_BYTES,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    ActorType,
    AuditStatus,
)
from src.database import metadata


def _text(length: int) -> String:
    # Bytewise comparison: a prefix can use the index, and an upgrade of the system's locales cannot corrupt it.
    return String(length, collation="C")


def _one_of(column: str, words: type[ActorType] | type[AuditStatus]) -> CheckConstraint:
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
    Column("entity_id", _text(MAX_TEXT_LENGTH), nullable=False),
    Column("actor_type", _text(16), nullable=False, server_default=ActorType.USER),
    Column("actor_id", _text(MAX_TEXT_LENGTH), nullable=False),
    Column("status", _text(16), nullable=False, server_default=AuditStatus.SUCCESS),
    Column("details", JSONB(none_as_null=True), nullable=False, server_default=text("'{}'")),
    Column("correlation_id", _text(MAX_CORRELATION_ID_LENGTH)),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _one_of("actor_type", ActorType),
    _one_of("status", AuditStatus),
    CheckConstraint("jsonb_typeof(details) = 'object'", name="details_object"),
    CheckConstraint(f"octet_length(details::text) <= {MAX_DETAILS_BYTES}", name="details_size"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("isfinite(occurred_at)", name="occurred_at_finite"),
    # GET /audits without a filter, and the fallback for every filter: newest (or oldest) first, ties by id.
    Index("audit_occurred_at_id_idx", "occurred_at", "id"),
)
