"""Pages: their limits, how matches are counted, cursors and links. Knows no FastAPI."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic_core import from_json, to_json

DEFAULT_LIMIT = 20
MAX_LIMIT = 50
MAX_OFFSET = 10_000
COUNT_CAP = 10_000
MAX_CURSOR_LENGTH = 512

NOT_A_CURSOR = "is not a cursor that this service has given out"

_FINGERPRINT_BYTES = 8


class Count(StrEnum):
    CAPPED = "capped"
    EXACT = "exact"
    NONE = "none"


class Order(StrEnum):
    DESC = "desc"
    ASC = "asc"


def count_limit(count: Count) -> int | None:
    """How many matches to look at; None where there is no limit."""
    return COUNT_CAP + 1 if count is Count.CAPPED else None


def relate_total(counted: int | None, count: Count) -> tuple[int | None, Literal["eq", "gte"] | None]:
    """`total` and `total_relation` of a page, out of the number that was counted."""
    if counted is None:
        return None, None
    if count is Count.CAPPED and counted > COUNT_CAP:
        return COUNT_CAP, "gte"
    return counted, "eq"


def encode_cursor(position: Sequence[str | int], bound_to: Any) -> str:
    """Where the next page begins: behind the item at `position`, in the list that `bound_to` describes."""
    return urlsafe_b64encode(to_json([_fingerprint(bound_to), *position])).rstrip(b"=").decode()


def decode_cursor(cursor: str, bound_to: Any) -> list[Any]:
    """The position in a cursor. Raises `ValueError` for one that was not made here, or for another list."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        fingerprint, *position = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):
        raise ValueError(NOT_A_CURSOR) from None
    if fingerprint != _fingerprint(bound_to):
        raise ValueError("belongs to a list with other filters, or in another order; begin again without it")
    return list(position)


def _fingerprint(bound_to: Any) -> str:
    return hashlib.sha256(to_json(bound_to)).hexdigest()[: 2 * _FINGERPRINT_BYTES]


def link_header(targets: Mapping[str, str]) -> str:
    """RFC 8288: relation -> where it leads."""
    return ", ".join(f'<{target}>; rel="{relation}"' for relation, target in targets.items())


def link_targets(path: str, query: Mapping[str, Any], next_cursor: str | None) -> dict[str, str]:
    """Where the pages around this one are: `first`, `prev` where pages are counted by offset, and `next`.

    `query` is what the caller has set, as JSON values.
    """
    kept = {name: _in_query(value) for name, value in query.items() if name not in ("cursor", "offset")}

    def target(**position: str | int) -> str:
        parameters = kept | position
        return f"{path}?{urlencode(parameters, doseq=True)}" if parameters else path

    targets = {"first": target()}
    if offset := int(query.get("offset") or 0):
        targets["prev"] = target(offset=max(0, offset - int(query.get("limit") or DEFAULT_LIMIT)))
    if next_cursor:
        targets["next"] = target(cursor=next_cursor)
    return targets


def _in_query(value: Any) -> Any:
    """An object travels as JSON text."""
    return to_json(value).decode() if isinstance(value, dict) else value
