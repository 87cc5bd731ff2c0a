"""Reads values of a model's answer, which may be of another type than was asked for."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from src import json_parser
from src.ai.constants import MAX_UNSUPPORTED
from src.audits.schemas import AuditFilter
from src.exceptions import AppError

EMPTY = "the model gave no value"
UNUSABLE = "the model's value cannot be used"

_EMPTY_TEXTS = frozenset(("", "null", "none", "nil", "n/a", "na", "undefined", "-", "{}", "[]"))
_QUOTES = ("''", '""', "``", "“”", "«»")


class Unusable(Exception):
    """A value is not used, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def items(value: Any) -> list[Any]:
    """Return the different values of a list, at most `MAX_UNSUPPORTED`, or the one value."""
    if not isinstance(value, list):
        return [value]
    return [*{repr(item): item for item in value if item is not None}.values()][:MAX_UNSUPPORTED]


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().casefold() in _EMPTY_TEXTS)


def single_text(value: Any) -> str:
    """Return the one text of a value, without quotes. Raises `Unusable`."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if is_empty(value):
        raise Unusable(EMPTY)
    text = text_of(value).strip()
    if not text:
        raise Unusable(UNUSABLE)
    return text[1:-1] if len(text) > 2 and text[0] + text[-1] in _QUOTES else text


def text_of(scalar: Any) -> str:
    """Return a text or a number as text; nothing for any other value."""
    if isinstance(scalar, float) and scalar.is_integer():
        return str(int(scalar))
    return str(scalar) if isinstance(scalar, str | int | float) and not isinstance(scalar, bool) else ""


def scalars_of(value: Any) -> list[Any]:
    """Return the different texts, numbers, booleans and nulls in a value."""
    found, scalars = [value], {}
    for item in found:  # The loop adds to `found`.
        if isinstance(item, dict):
            found += item.values()
        elif isinstance(item, list):
            found += item
        else:
            scalars[repr(item)] = item
    return [*scalars.values()]


def keys_of(value: Any) -> Iterator[str]:
    found = [value]
    for item in found:  # The loop adds to `found`.
        if isinstance(item, dict):
            yield from item
            found += item.values()
        elif isinstance(item, list):
            found += item


def parse_details(value: Any) -> dict[str, Any]:
    """The members that `details` has to contain, of an object or of a text with one. Raises `Unusable`."""
    if is_empty(value):
        raise Unusable(EMPTY)
    try:
        members = json_parser.parse(value) if isinstance(value, str) else value
        # Also checks what the list checks of its own query.
        AuditFilter.model_validate({"details": members})
    except (AppError, ValidationError):
        raise Unusable(UNUSABLE) from None
    if not isinstance(members, dict):
        raise Unusable(UNUSABLE)
    return members
