"""The tables of the gift cards domain."""

from sqlalchemy import CheckConstraint, Column, DateTime, Integer, String, Table, Uuid

from scripts.domain.template.src.gift_cards.constants import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH
from src.database import metadata

gift_card = Table(
    "gift_card",
    metadata,
    # A UUIDv7, whose order is that of creation, so that the list needs no other index.
    Column("id", Uuid, primary_key=True),
    # Bytes are compared, so that an upgrade of the system's locales cannot corrupt an index.
    Column("name", String(MAX_NAME_LENGTH, collation="C"), nullable=False),
    Column("description", String(MAX_DESCRIPTION_LENGTH, collation="C")),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("version >= 1", name="version"),
)
