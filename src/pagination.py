"""Pagination by offset and by cursor: query parameters, pages, totals, cursors and links."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, Literal, Self, TypeVar
from urllib.parse import urlencode

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import from_json, to_json
from sqlalchemy import Select, func, null, select

from src.exceptions import InvalidCursor
from src.schemas import CustomModel
from src.shaped import json_array

T = TypeVar("T")

DEFAULT_LIMIT = 20
MAX_LIMIT = 50
MAX_OFFSET = 10_000
COUNT_CAP = 10_000
MAX_CURSOR_LENGTH = 512
# By default nginx answers 502 to a head of more than 4 KB, Apache and Varnish to a header of more than 8 KB.
_MAX_LINKS_LENGTH = 3_000

_INVALID_CURSOR = "is not a cursor that this service has given out"

_FINGERPRINT_BYTES = 8


class Count(StrEnum):
    CAPPED = "capped"
    EXACT = "exact"
    NONE = "none"


class Order(StrEnum):
    DESC = "desc"
    ASC = "asc"


class PageQuery(CustomModel):
    """Selects a page by `offset`, or by the `cursor` of the page before."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    offset: int = Field(0, ge=0, le=MAX_OFFSET)
    cursor: str | None = Field(
        None,
        max_length=MAX_CURSOR_LENGTH,
        description="`next_cursor` of the page before, with the same filters and order; then `offset` must be 0.",
    )

    @model_validator(mode="after")
    def either_offset_or_cursor(self) -> Self:
        """Refuse a cursor with an offset. 0 is allowed, since some clients send every default with every request."""
        if self.cursor is not None and self.offset:
            raise ValueError("cursor and offset cannot be combined: leave out offset, or send 0")
        return self


ItemT = TypeVar("ItemT")


class Page(CustomModel, Generic[ItemT]):
    items: list[ItemT]
    limit: int = Field(description="The limit of the request: the page has at most that many items.")
    offset: int | None = Field(description="How many items were skipped; null if the request had a cursor.")
    total: int | None = Field(description="How many items match; null when `count=none`.")
    total_relation: Literal["eq", "gte"] | None = Field(
        description="`eq`: `total` is exact; `gte`: there are at least that many; null when `count=none`."
    )
    next_cursor: str | None = Field(description="For the next page; null on the last one.")

    @classmethod
    def of(
        cls,
        found: Sequence[ItemT],
        query: PageQuery,
        counted: int | None,
        count: Count,
        cursor_after: Callable[[ItemT], str],
    ) -> Self:
        """The page that answers `query`. `found` has one item more than its limit if there is a next page."""
        items = [*found[: query.limit]]
        next_cursor = cursor_after(items[-1]) if len(found) > query.limit else None
        return cls(items=items, **_describe(query, counted, count, next_cursor))


@dataclass(frozen=True, slots=True)
class ShapedPage:
    """A `Page` as JSON (`src/shaped.py`)."""

    json: str
    next_cursor: str | None

    @classmethod
    def of(
        cls, items: Iterable[str], query: PageQuery, counted: int | None, count: Count, next_cursor: str | None
    ) -> Self:
        """The page with these items, each of which is JSON."""
        rest = to_json(_describe(query, counted, count, next_cursor)).decode()
        return cls(f'{{"items":{json_array(items)},{rest[1:]}', next_cursor)


def _describe(query: PageQuery, counted: int | None, count: Count, next_cursor: str | None) -> dict[str, Any]:
    """The members of a page after its items."""
    total, relation = describe_total(counted, count)
    return {
        "limit": query.limit,
        "offset": None if query.cursor else query.offset,
        "total": total,
        "total_relation": relation,
        "next_cursor": next_cursor,
    }


def count_matches(matches: Select[Any], count: Count) -> Select[Any]:
    """A statement that counts the matches: at most one more than the cap if it is capped, and null if not wanted."""
    if count is Count.NONE:
        return select(null())
    limit = COUNT_CAP + 1 if count is Count.CAPPED else None
    return select(func.count()).select_from(matches.limit(limit).subquery())


def describe_total(counted: int | None, count: Count) -> tuple[int | None, Literal["eq", "gte"] | None]:
    """`total` and `total_relation` of a page for the counted number of matches."""
    if counted is None:
        return None, None
    if count is Count.CAPPED and counted > COUNT_CAP:
        return COUNT_CAP, "gte"
    return counted, "eq"


def encode_cursor(position: Sequence[str | int], bound_to: str) -> str:
    """The cursor of the page after the item at `position`. It is valid only for the list that `bound_to` describes."""
    return urlsafe_b64encode(to_json([_fingerprint(bound_to), *position])).rstrip(b"=").decode()


def decode_cursor(cursor: str, bound_to: str, form: TypeAdapter[T]) -> T:
    """The position that a cursor holds, validated by `form`.

    Raises `InvalidCursor` for a cursor of another list, and for one that `encode_cursor` did not make.
    """
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        fingerprint, *position = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):
        raise InvalidCursor(_INVALID_CURSOR) from None
    if fingerprint != _fingerprint(bound_to):
        raise InvalidCursor("belongs to a list with other filters, or in another order; begin again without it")
    try:
        return form.validate_python(position)
    except ValidationError:
        raise InvalidCursor(_INVALID_CURSOR) from None


@lru_cache(1024)
def _fingerprint(bound_to: str) -> str:
    return hashlib.sha256(bound_to.encode()).hexdigest()[: 2 * _FINGERPRINT_BYTES]


def links(path: str, query: PageQuery, next_cursor: str | None) -> str:
    """The value of a `Link` header (RFC 8288): `first`, `next`, and `prev` for pages by offset.

    It has only one of them, `next` if there is one, where all would be longer than `_MAX_LINKS_LENGTH`.
    """
    targets = link_targets(path, query.model_dump(mode="json", exclude_unset=True), next_cursor)
    links = [f'<{target}>; rel="{relation}"' for relation, target in targets.items()]
    found = ", ".join(links)
    if len(found) <= _MAX_LINKS_LENGTH:
        return found
    return links[-1] if next_cursor else links[0]


def link_targets(path: str, query: Mapping[str, Any], next_cursor: str | None) -> dict[str, str]:
    """The URLs of the pages by relation. `query` holds the parameters that the caller set, as JSON values."""
    kept = {name: _encode_query_value(value) for name, value in query.items() if name not in ("cursor", "offset")}

    def target(**position: str | int) -> str:
        parameters = kept | position
        return f"{path}?{urlencode(parameters, doseq=True)}" if parameters else path

    targets = {"first": target()}
    if offset := int(query.get("offset") or 0):
        targets["prev"] = target(offset=max(0, offset - int(query.get("limit") or DEFAULT_LIMIT)))
    if next_cursor:
        targets["next"] = target(cursor=next_cursor)
    return targets


def _encode_query_value(value: Any) -> Any:
    """The value as a query parameter: an object is written as JSON text."""
    return to_json(value).decode() if isinstance(value, dict) else value
