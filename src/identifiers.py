"""The one generator of identifiers."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): ordered by time, so that new rows land at the end of an index."""
    return uuid7()
