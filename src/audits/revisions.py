"""Revisions: each change of a record is stored as one revision, whose hash includes the hash of the one before.

Each record has a chain of its own. A hash is computed over the members that `_hashed_members` lists, as canonical JSON
(RFC 8785), so that a revision read back from any store that keeps JSON gives the same bytes. This definition must never
change: every hash that was ever written depends on it.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import rfc8785

from src.audits.constants import Operation

SALT_BYTES = 16
_MAX_SAFE_INTEGER = 2**53 - 1
_ORJSON_MIN_WITHOUT_EXPONENT = 1e-4


@dataclass(frozen=True)
class Attribution:
    """Who changes a record, and why, according to the caller."""

    changed_by: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Revision:
    """A row of `audit_revision`. `record` is the record after the change, in the form that the API serves.

    `audit_id` is text, as in the record: to make `UUID` objects takes time (tests/benchmarks/README.md).
    """

    audit_id: str
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
    record: dict[str, Any],
    operation: Operation,
    attribution: Attribution,
    changed_at: datetime,
    previous_hash: bytes | None,
) -> Revision:
    """The revision of this change, with its hash. `record` is the record after the change; for a deletion, before."""
    values: dict[str, Any] = {
        "audit_id": record["id"],
        "version": record["version"] + (operation is Operation.DELETE),
        "operation": operation,
        "changed_at": changed_at,
        "changed_by": attribution.changed_by,
        "reason": attribution.reason,
        "record": record,
        "salt": secrets.token_bytes(SALT_BYTES),
        "previous_hash": previous_hash,
    }
    return Revision(**values, hash=compute_hash(values))


def compute_hash(values: Mapping[str, Any]) -> bytes:
    """SHA-256 of the hashed members as canonical JSON. `values` are those of a `Revision`."""
    return hashlib.sha256(canonicalize(_hashed_members(values))).digest()


def _hashed_members(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "salt": values["salt"].hex(),
        "previous_hash": values["previous_hash"].hex() if values["previous_hash"] else None,
        "audit_id": values["audit_id"],
        "version": values["version"],
        "operation": str(values["operation"]),
        "changed_at": values["changed_at"].isoformat().replace("+00:00", "Z"),
        "changed_by": values["changed_by"],
        "reason": values["reason"],
        "record": values["record"],
    }


class _OrjsonDiffers(ValueError):
    """orjson would write other bytes than RFC 8785 demands."""


def canonicalize(value: Any) -> bytes:
    """The value as canonical JSON (RFC 8785), in which every number is a double.

    orjson writes the same bytes for nearly every value, many times as fast (tests/benchmarks/README.md); `rfc8785`
    writes the others. Raises `OverflowError` for an integer that no double holds.
    """
    try:
        return orjson.dumps(value if _is_canonical(value) else _for_orjson(value), option=orjson.OPT_SORT_KEYS)
    except _OrjsonDiffers:
        return rfc8785.dumps(_integers_as_doubles(value))


def _is_canonical(value: Any) -> bool:
    """Whether `_for_orjson` would change nothing, as for nearly every value. This is faster than to call it."""
    found = [value]
    for item in found:  # The loop adds to `found`.
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is dict:
            if not "".join(item).isascii():
                return False
            found += item.values()
        elif kind is list:
            found += item
        elif (kind is not int and kind is not float) or not _is_plain(item):
            return False
    return True


def _is_plain(number: float) -> bool:
    """Whether the number is written alike, and without an exponent: 1.0 would be 1."""
    if type(number) is int:
        return -_MAX_SAFE_INTEGER <= number <= _MAX_SAFE_INTEGER
    return _ORJSON_MIN_WITHOUT_EXPONENT <= abs(number) <= _MAX_SAFE_INTEGER and not number.is_integer()


def _for_orjson(value: Any) -> Any:
    """The value in the form for which orjson writes the bytes of RFC 8785.

    Raises `_OrjsonDiffers` for numbers with an exponent or beyond 2^53, and for keys that are not ASCII: their order
    depends on their encoding.
    """
    match value:
        case None | str() | bool():
            return value
        case int() if -_MAX_SAFE_INTEGER <= value <= _MAX_SAFE_INTEGER:
            return value
        case float() if value.is_integer() and abs(value) <= _MAX_SAFE_INTEGER:
            return int(value)
        case float() if _ORJSON_MIN_WITHOUT_EXPONENT <= abs(value) <= _MAX_SAFE_INTEGER:
            return value
        case dict() if "".join(value).isascii():
            return {key: _for_orjson(item) for key, item in value.items()}
        case list():
            return list(map(_for_orjson, value))
        case _:
            raise _OrjsonDiffers


def _integers_as_doubles(value: Any) -> Any:
    """The value with its integers as doubles: jsonb turns 6.677e16 into an integer, and the hash must not change."""
    match value:
        case dict():
            return {key: _integers_as_doubles(item) for key, item in value.items()}
        case list():
            return [_integers_as_doubles(item) for item in value]
        case bool():
            return value
        case int():
            return float(value)
        case _:
            return value
