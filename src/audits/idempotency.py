"""Idempotency keys: a client can repeat a request; it is carried out once, and each repetition gets the first answer.

It follows the draft standard https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Uuid,
    and_,
    bindparam,
    case,
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
from src.audits.models import audit, audit_revision
from src.audits.models import audit_idempotency_key as keys
from src.audits.revisions import canonicalize
from src.audits.statements import FIELDS, typed_rows
from src.database import AutocommitConnection
from src.exceptions import Conflict
from src.shaped import json_object
from src.statement import Statement

# Each new key removes up to this many expired ones, so that no job has to, and they do not pile up.
_MAX_CLEARED = 10


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with an idempotency key. Two payloads that are the same JSON value are the same request."""

    endpoint: str
    key: str
    payload: Any
    expires_at: datetime

    @cached_property
    def payload_hash(self) -> bytes:
        """SHA-256 of the canonical payload. Computed when it is first used: an invalid request is never hashed."""
        return hashlib.sha256(canonicalize(self.payload)).digest()


def parameters(idempotent: IdempotentRequest, audit_ids: Sequence[UUID] = ()) -> dict[str, Any]:
    """The SQL parameters of the statements of this module."""
    return {
        "new_endpoint": idempotent.endpoint,
        "new_key": idempotent.key,
        "new_payload_hash": idempotent.payload_hash,
        "new_audit_ids": audit_ids,
        "new_expires_at": idempotent.expires_at,
        "now": clock.now(),
    }


_new = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in keys.c}
_is_this_key = and_(keys.c.endpoint == _new["endpoint"], keys.c.key == _new["key"])
_has_expired = keys.c.expires_at <= bindparam("now")

_claim_insert = insert(keys).values(_new)
CLAIM = (
    _claim_insert.on_conflict_do_update(
        index_elements=[keys.c.endpoint, keys.c.key],
        set_={name: _claim_insert.excluded[name] for name in ("payload_hash", "audit_ids", "expires_at")},
        where=_has_expired,
    )
    .returning(literal_column("1").label("claimed"))
    .cte("claim")
)
"""Returns one row if the key is new or has expired, and none if it is taken.

A second request with the same key waits here until the first has ended.
"""

# Without this request's key, which CLAIM may take over in the same statement.
_expired = (
    select(keys.c.endpoint, keys.c.key)
    .where(_has_expired, ~_is_this_key)
    .limit(literal_column(str(_MAX_CLEARED)))
    .with_for_update(skip_locked=True)
)
CLEAR_EXPIRED = (
    delete(keys).where(tuple_(keys.c.endpoint, keys.c.key).in_(_expired)).returning(literal_column("1")).cte("cleared")
)
"""Removes up to `_MAX_CLEARED` expired keys."""

_ids = func.unnest(keys.c.audit_ids).table_valued(column("id", Uuid), with_ordinality="position").render_derived()
_first_record = typed_rows(func.jsonb_to_record(audit_revision.c.record), "first_record", audit, FIELDS)
_FIRST_ANSWER = Statement(
    select(keys.c.payload_hash, case((audit_revision.c.audit_id.is_not(None), json_object(_first_record.c))))
    .select_from(keys)
    .join(_ids, true())
    .outerjoin(audit_revision, and_(audit_revision.c.audit_id == _ids.c.id, audit_revision.c.version == 1))
    .outerjoin(_first_record, true())
    .where(_is_this_key)
    .order_by(_ids.c.position)
)


async def get_first_answer(connection: AutocommitConnection, idempotent: IdempotentRequest) -> Sequence[str]:
    """The records as the first request created them, each as JSON; an empty list if the key has expired since.

    Raises `IdempotencyKeyReused`, and `Conflict` if the first revision of a record is gone.
    """
    answers = await connection.fetch(_FIRST_ANSWER, **parameters(idempotent))
    if any(payload_hash != idempotent.payload_hash for payload_hash, _ in answers):
        raise IdempotencyKeyReused("The key was used with another payload; use a new key for a new request.")
    if any(record is None for _, record in answers):
        raise Conflict("What was recorded with this key cannot be read any more; use a new key.")
    return [record for _, record in answers]
