"""Idempotency keys: a request that is sent again gets its first answer, and is carried out once.

After https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from src import clock
from src.audits.exceptions import IdempotencyKeyReused
from src.audits.models import audit_idempotency_key as keys
from src.audits.models import audit_revision
from src.audits.revisions import canonicalize
from src.database import AutocommitConnection
from src.exceptions import Conflict
from src.statement import Statement

# With each new key, so that no job has to: more than one, so that they cannot pile up.
_CLEARED_AT_ONCE = 10


@dataclass(frozen=True)
class IdempotentRequest:
    """What the caller calls this request, and what it asks: the same JSON value is the same request."""

    endpoint: str
    key: str
    payload: Any
    expires_at: datetime

    @cached_property
    def payload_hash(self) -> bytes:
        """Not before somebody asks for it: what is not valid is never hashed."""
        return hashlib.sha256(canonicalize(self.payload)).digest()


def values(request: IdempotentRequest, audit_ids: Sequence[UUID] = ()) -> dict[str, Any]:
    """The parameters of the statements here."""
    return {
        "this_endpoint": request.endpoint,
        "this_key": request.key,
        "this_payload_hash": request.payload_hash,
        "this_audit_ids": audit_ids,
        "this_expires_at": request.expires_at,
        "now": clock.now(),
    }


_this = {column.name: bindparam(f"this_{column.name}", type_=column.type) for column in keys.c}
_this_one = and_(keys.c.endpoint == _this["endpoint"], keys.c.key == _this["key"])
_has_expired = keys.c.expires_at <= bindparam("now")

_claim = insert(keys).values(_this)
CLAIM = (
    _claim.on_conflict_do_update(
        index_elements=[keys.c.endpoint, keys.c.key],
        set_={name: _claim.excluded[name] for name in ("payload_hash", "audit_ids", "expires_at")},
        where=_has_expired,
    )
    .returning(literal_column("1").label("claimed"))
    .cte("claim")
)
"""Returns a row where the key is new or has expired, and none where it is taken.

Another request with the same key waits here for the end of the first.
"""

# Not this one, which the same statement may be taking over.
_expired = (
    select(keys.c.endpoint, keys.c.key)
    .where(_has_expired, ~_this_one)
    .limit(literal_column(str(_CLEARED_AT_ONCE)))
    .with_for_update(skip_locked=True)
)
CLEAR_EXPIRED = (
    delete(keys).where(tuple_(keys.c.endpoint, keys.c.key).in_(_expired)).returning(literal_column("1")).cte("cleared")
)
"""Removes some keys that have expired."""

_ids = func.unnest(keys.c.audit_ids).table_valued(column("id", Uuid), with_ordinality="position").render_derived()
_FIRST_ANSWER = Statement(
    select(keys.c.payload_hash, cast(audit_revision.c.record, Text))
    .select_from(keys)
    .join(_ids, true())
    .outerjoin(audit_revision, and_(audit_revision.c.audit_id == _ids.c.id, audit_revision.c.version == 1))
    .where(_this_one)
    .order_by(_ids.c.position)
)


async def first_answer(connection: AutocommitConnection, request: IdempotentRequest) -> Sequence[str]:
    """The records as the first request made them, each as JSON; none where the key has expired by now.

    Raises `IdempotencyKeyReused`, and `Conflict` where a record cannot be read any more.
    """
    answers = await connection.fetch(_FIRST_ANSWER, **values(request))
    if any(payload_hash != request.payload_hash for payload_hash, _ in answers):
        raise IdempotencyKeyReused("The key was used with another payload; use a new key for a new request.")
    if any(record is None for _, record in answers):
        raise Conflict("What was recorded with this key cannot be read any more; use a new key.")
    return [record for _, record in answers]
