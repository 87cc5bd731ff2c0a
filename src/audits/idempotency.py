"""Idempotency keys: a request that is sent again gets its first answer, and is carried out once.

After https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, Text, Uuid, and_, cast, column, delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.audits.exceptions import IdempotencyKeyReused
from src.audits.models import audit_idempotency_key as keys
from src.audits.models import audit_revision
from src.audits.revisions import canonicalize
from src.exceptions import Conflict

# With each new key, so that no job has to: more than one, so that they cannot pile up.
_CLEARED_AT_ONCE = 10


@dataclass(frozen=True)
class IdempotentRequest:
    """What the caller calls this request, and what it asks: the same JSON value is the same request."""

    endpoint: str
    key: str
    payload_hash: bytes
    expires_at: datetime


def hash_payload(payload: Any) -> bytes:
    return hashlib.sha256(canonicalize(payload)).digest()


def claim(request: IdempotentRequest, audit_ids: Sequence[UUID]) -> CTE:
    """Returns a row where the key is new or has expired, and none where it is taken.

    Another request with the same key waits here for the end of the first.
    """
    statement = insert(keys).values(
        endpoint=request.endpoint,
        key=request.key,
        payload_hash=request.payload_hash,
        audit_ids=audit_ids,
        expires_at=request.expires_at,
    )
    taken_over = {name: statement.excluded[name] for name in ("payload_hash", "audit_ids", "expires_at")}
    return (
        statement.on_conflict_do_update(
            index_elements=[keys.c.endpoint, keys.c.key], set_=taken_over, where=keys.c.expires_at <= clock.now()
        )
        .returning(literal(1).label("claimed"))
        .cte("claim")
    )


def clear_expired(request: IdempotentRequest) -> CTE:
    """Removes some keys that have expired; not this one, which the same statement may be taking over."""
    this_one = and_(keys.c.endpoint == request.endpoint, keys.c.key == request.key)
    expired = (
        select(keys.c.endpoint, keys.c.key)
        .where(keys.c.expires_at <= clock.now(), ~this_one)
        .limit(_CLEARED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return delete(keys).where(tuple_(keys.c.endpoint, keys.c.key).in_(expired)).returning(literal(1)).cte("cleared")


async def first_answer(connection: AsyncConnection, request: IdempotentRequest) -> Sequence[str]:
    """The records as the first request made them, each as JSON; none where the key has expired by now.

    Raises `IdempotencyKeyReused`, and `Conflict` where a record cannot be read any more.
    """
    ids = func.unnest(keys.c.audit_ids).table_valued(column("id", Uuid), with_ordinality="position").render_derived()
    statement = (
        select(keys.c.payload_hash, cast(audit_revision.c.record, Text))
        .select_from(keys)
        .join(ids, literal(True))
        .outerjoin(audit_revision, and_(audit_revision.c.audit_id == ids.c.id, audit_revision.c.version == 1))
        .where(keys.c.endpoint == request.endpoint, keys.c.key == request.key)
        .order_by(ids.c.position)
    )
    answers = (await connection.execute(statement)).all()
    if any(payload_hash != request.payload_hash for payload_hash, _ in answers):
        raise IdempotencyKeyReused("The key was used with another payload; use a new key for a new request.")
    if any(record is None for _, record in answers):
        raise Conflict("What was recorded with this key cannot be read any more; use a new key.")
    return [record for _, record in answers]
