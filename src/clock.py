"""The clock of the service."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC, to the microsecond, which PostgreSQL stores exactly."""
    return datetime.now(UTC)
