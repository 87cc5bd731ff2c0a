"""The one generator of identifiers."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): ordered by time, so that new rows land at the end of an index."""
    return uuid7()


def new_request_id() -> str:
    """The same as text, without a `UUID` on the way, which takes 12 us of each request more."""
    return str(uuid_utils.uuid7())
