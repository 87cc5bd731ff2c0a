"""The one clock."""

from datetime import UTC, datetime


def now() -> datetime:
    """In UTC, to the microsecond, as PostgreSQL keeps it."""
    return datetime.now(UTC)
