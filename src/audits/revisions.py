"""Revisions: what is written of every change, and the hash that chains it to the one before.

The chain is per record. A hash covers what `_document` lists, as canonical JSON (RFC 8785): what was recorded can
be read back from any store that keeps JSON, and gives the same bytes. This definition can never change: every hash
ever written depends on it.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import rfc8785

from src.audits.constants import Operation

SALT_BYTES = 16
_MAX_SAFE_INTEGER = 2**53 - 1
_LEAST_WITHOUT_EXPONENT = 1e-4  # of orjson


@dataclass(frozen=True)
class Change:
    """Who changes a record and why, as the caller says it."""

    changed_by: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Revision:
    """A row of `audit_revision`. `record` is the snapshot as JSON, its times as the API serves them."""

    audit_id: UUID
    version: int
    operation: Operation
    changed_at: datetime
    changed_by: str | None
    reason: str | None
    record: dict[str, Any]
    salt: bytes
    previous_hash: bytes | None
    hash: bytes


def seal(
    record: dict[str, Any], operation: Operation, change: Change, changed_at: datetime, previous_hash: bytes | None
) -> Revision:
    """The revision that `record` has become by this change; of a deletion, `record` is the last state."""
    unsealed = Revision(
        audit_id=UUID(record["id"]),
        version=record["version"] + (operation is Operation.DELETE),
        operation=operation,
        changed_at=changed_at,
        changed_by=change.changed_by,
        reason=change.reason,
        record=record,
        salt=secrets.token_bytes(SALT_BYTES),
        previous_hash=previous_hash,
        hash=b"",
    )
    return replace(unsealed, hash=compute_hash(unsealed))


def compute_hash(revision: Revision) -> bytes:
    """SHA-256 of the revision's document."""
    return hashlib.sha256(canonicalize(_document(revision))).digest()


def _document(revision: Revision) -> dict[str, Any]:
    return {
        "salt": revision.salt.hex(),
        "previous_hash": revision.previous_hash.hex() if revision.previous_hash else None,
        "audit_id": str(revision.audit_id),
        "version": revision.version,
        "operation": str(revision.operation),
        "changed_at": revision.changed_at.isoformat().replace("+00:00", "Z"),
        "changed_by": revision.changed_by,
        "reason": revision.reason,
        "record": revision.record,
    }


class _NotPlain(ValueError):
    pass


def canonicalize(value: Any) -> bytes:
    """RFC 8785, every number as a double.

    orjson writes the same bytes for nearly everything: in 7 us for a usual record where the library takes 130, and in a
    fifth of the time for many numbers.
    """
    try:
        return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    except _NotPlain:
        return rfc8785.dumps(_with_doubles(value))


def _plain(value: Any) -> Any:
    """The same value, of which orjson writes what RFC 8785 asks for.

    Raises `_NotPlain` where there is none: numbers with an exponent or beyond 2^53, and keys whose order depends on
    how they are encoded.
    """
    match value:
        case None | str() | bool():
            return value
        case int() if -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:
            return value
        case float() if value.is_integer() and abs(value) <= _MAX_SAFE_INTEGER:
            return int(value)
        case float() if _LEAST_WITHOUT_EXPONENT <= abs(value) <= _MAX_SAFE_INTEGER:
            return value
        case dict() if "".join(value).isascii():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return list(map(_plain, value))
        case _:
            raise _NotPlain


def _with_doubles(value: Any) -> Any:
    """jsonb turns 6.677e16 into an integer: as doubles both are one number."""
    match value:
        case dict():
            return {key: _with_doubles(item) for key, item in value.items()}
        case list():
            return [_with_doubles(item) for item in value]
        case bool():
            return value
        case int():
            return float(value)
        case _:
            return value
