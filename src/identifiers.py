"""Generates the ids of records and requests."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7). These are ordered by time, so that new rows go to the end of an index."""
    return uuid7()


def new_request_id() -> str:
    """A UUIDv7 as text. It is made without a `UUID` object, which would take time in each request."""
    return str(uuid_utils.uuid7())
