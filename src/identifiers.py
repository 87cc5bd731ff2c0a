"""Generates the ids of records and requests."""

from uuid_utils import uuid7


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7) as text. These are ordered by time, so that new rows go to the end of an index.

    It is made without a `UUID` object of Python, which would take time in each request.
    """
    return str(uuid7())
