"""Idempotency keys: a client can repeat a request; it is carried out once, and each repetition gets the first answer.

It follows the draft standard https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Text,
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
from src.audits.models import audit_idempotency_key as keys
from src.audits.models import audit_revision
from src.audits.revisions import canonicalize
from src.audits.statements import FIRST_RECORD, ON_PRIMARY, is_first_of
from src.database import AutocommitConnection
from src.exceptions import Conflict
from src.shaped import json_object
from src.statement import Statement

# Each new key removes up to this many expired ones, so that no job has to, and they do not pile up.
_MAX_CLEARED = 10


class Item(NamedTuple):
    """What one record of a request was answered with: the record in its first version, as JSON.

    `created` is false if an earlier record of the same event was there. If the item of a partial batch was refused,
    `problem` is its whole answer as JSON, and it has no id and no record.
    """

    id: str | None
    record: str
    created: bool
    problem: str | None = None


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


def parameters(idempotent: IdempotentRequest, items: Sequence[Item] = ()) -> dict[str, Any]:
    """The SQL parameters of the statements of this module. `items` are those of the answer, without their records."""
    return {
        "new_endpoint": idempotent.endpoint,
        "new_key": idempotent.key,
        "new_payload_hash": idempotent.payload_hash,
        "new_audit_ids": [item.id for item in items],
        "new_expires_at": idempotent.expires_at,
        "new_created": None if all(item.created for item in items) else [item.created for item in items],
        "new_problems": [item.problem for item in items] if any(item.problem for item in items) else None,
        "now": clock.now(),
    }


_new = {column.name: bindparam(f"new_{column.name}", type_=column.type) for column in keys.c}
_is_this_key = and_(keys.c.endpoint == _new["endpoint"], keys.c.key == _new["key"])
_has_expired = keys.c.expires_at <= bindparam("now")


_CLAIMED = ("payload_hash", "audit_ids", "expires_at", "created", "problems")


def claim(*predicates: ColumnElement[bool]) -> CTE:
    """Returns one row if all predicates hold and the key is new or has expired, else none.

    A second request with the same key waits here until the first has ended.
    """
    statement = insert(keys).from_select(keys.c.keys(), select(*_new.values()).where(*predicates))
    return (
        statement.on_conflict_do_update(
            index_elements=[keys.c.endpoint, keys.c.key],
            set_={name: statement.excluded[name] for name in _CLAIMED},
            where=_has_expired,
        )
        .returning(literal_column("1").label("claimed"))
        .cte("claim")
    )


# Without this request's key, which `claim` may take over in the same statement.
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

_items = (
    func.unnest(keys.c.audit_ids, keys.c.created, keys.c.problems)
    .table_valued(column("id", Uuid), column("created", Boolean), column("problem", Text), with_ordinality="position")
    .render_derived()
)
_FIRST_ANSWER = Statement(
    select(
        keys.c.payload_hash,
        _items.c.id,
        case((audit_revision.c.audit_id.is_not(None), json_object(FIRST_RECORD.c))),
        func.coalesce(_items.c.created, true()),
        _items.c.problem,
    )
    .select_from(keys)
    .join(_items, true())
    .outerjoin(audit_revision, is_first_of(_items.c.id))
    .outerjoin(FIRST_RECORD, true())
    .where(_is_this_key, ON_PRIMARY)
    .order_by(_items.c.position)
)


async def get_first_answer(connection: AutocommitConnection, idempotent: IdempotentRequest) -> list[Item]:
    """What the first request was answered with; an empty list if the key is new or has expired since.

    Raises `IdempotencyKeyReused`, and `Conflict` if the first revision of a record is gone.
    """
    answers = await connection.fetch(_FIRST_ANSWER, **parameters(idempotent))
    if any(payload_hash != idempotent.payload_hash for payload_hash, *_ in answers):
        raise IdempotencyKeyReused("The key was used with another payload; use a new key for a new request.")
    if any(record is None and problem is None for _, _, record, _, problem in answers):
        raise Conflict("What was recorded with this key cannot be read any more; use a new key.")
    return [
        Item(audit_id and str(audit_id), record or "", created, problem)
        for _, audit_id, record, created, problem in answers
    ]
