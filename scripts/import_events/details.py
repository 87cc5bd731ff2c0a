"""Keeps an event within what the service takes as `details`, and says in it what had to be changed.

An event that fits stays as it is. Otherwise its member `_import` tells, with JSON Pointers (RFC 6901): which numbers
became text, where characters were replaced, and what was nested too deeply or cut.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from src.audits.constants import MAX_DETAILS_BYTES, MAX_DETAILS_DEPTH

NOTES = "_import"

_MAX_EXACT = 2**53
_MAX_INTEGER = 2**63 - 1
# More digits than the largest double has: `int` need not try.
_MAX_DIGITS = 400
_MAX_SIGNIFICANT_DIGITS = 17

_UNSTORABLE = re.compile("[\\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_EXPONENT = re.compile(rb"[:,\[-][\d.]+e[+-]?(\d+)")

_MAX_CUTS = 16
_MIN_CUT_BYTES = 2_000
_KEPT_CHARACTERS = 1_000
_KEPT_OF_EVENT_BYTES = 24 * 1024
_MAX_NOTED = 10
_MAX_POINTER_CHARACTERS = 200
# For the member `_import`.
_NOTES_BYTES = 12 * 1024

Notes = dict[str, Any]


class Exponent(float):
    """A number that was written with an exponent, which PostgreSQL prints with all its digits.

    orjson refuses it, as it does `NumberText`: such an event takes the longer way.
    """


class NumberText:
    """A number that no double holds."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def _parse_integer(text: str) -> int | float | NumberText:
    if len(text) < _MAX_SIGNIFICANT_DIGITS - 1:
        return int(text)
    if len(text) > _MAX_DIGITS:
        return NumberText(text)
    number = int(text)
    if -_MAX_EXACT <= number <= _MAX_EXACT:
        return number
    with suppress(OverflowError):
        double = float(number)
        if number in (int(double), Decimal(repr(double))):
            return number if abs(number) <= _MAX_INTEGER else double
    return NumberText(text)


def _parse_float(text: str) -> float | NumberText:
    if len(text) <= _MAX_SIGNIFICANT_DIGITS and "e" not in text and "E" not in text:
        return float(text)
    double = Exponent(text)
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of 19 digits
        return NumberText(text)
    significant = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    is_held = bool(double) or not significant
    if significant > _MAX_SIGNIFICANT_DIGITS:
        is_held = number == Decimal(double)
    return double if is_held and abs(double) != float("inf") else NumberText(text)


decode = json.JSONDecoder(parse_int=_parse_integer, parse_float=_parse_float, parse_constant=NumberText).raw_decode
"""Decodes a value, as `reader.Decode`. What the service would not take as a number is a `NumberText`."""


@dataclass(frozen=True, slots=True)
class Storable:
    """An event without what PostgreSQL cannot store, and notes of what was changed."""

    event: dict[str, Any]
    notes: Notes
    # None if it takes another look whether it fits.
    encoded: bytes | None = None


def to_storable(event: dict[str, Any]) -> Storable:
    with suppress(TypeError):  # a lone surrogate, an `Exponent`, a `NumberText`, or nested too deeply for orjson
        encoded = orjson.dumps(event)
        if b"\\u0000" not in encoded and not _may_be_deep(event, encoded):
            return Storable(event, {}, encoded)
    cleaner = _Cleaner()
    return Storable(cleaner.clean(event, "", MAX_DETAILS_DEPTH), cleaner.notes)


def to_details(storable: Storable) -> bytes:
    """The event and the notes as `details`, in JSON. What is too large is cut."""
    event, notes, encoded = storable.event, storable.notes, storable.encoded
    if encoded and not notes and len(encoded) + _blanks(encoded) <= MAX_DETAILS_BYTES:
        return encoded
    noted = orjson.dumps(_with_notes(event, notes) if notes else event)
    if _printed_bytes(noted) <= MAX_DETAILS_BYTES:
        return noted
    event, cuts = _cut(orjson.loads(orjson.dumps(event)), MAX_DETAILS_BYTES - _NOTES_BYTES)
    return orjson.dumps(_with_notes(event, notes | {"cut": cuts}))


def _with_notes(event: dict[str, Any], notes: Notes) -> dict[str, Any]:
    name = NOTES
    while name in event:
        name = f"_{name}"
    return event | {name: notes}


def _may_be_deep(event: dict[str, Any], encoded: bytes) -> bool:
    if encoded.count(b"{") + encoded.count(b"[") <= MAX_DETAILS_DEPTH:
        return False
    level: list[Any] = [event]
    for _ in range(MAX_DETAILS_DEPTH):
        level = [child for value in level for _, child in _children(value) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


class _Cleaner:
    """Replaces what cannot be stored, and notes where."""

    def __init__(self) -> None:
        self.notes: Notes = {}

    def clean(self, value: Any, pointer: str, levels: int) -> Any:
        match value:
            case dict() | list() if levels == 0:
                self._note("nested_as_text", pointer)
                return json.dumps(value, default=str)
            case dict():
                return {
                    self._clean_text(key, pointer): self.clean(item, _pointer(pointer, key), levels - 1)
                    for key, item in value.items()
                }
            case list():
                return [self.clean(item, _pointer(pointer, index), levels - 1) for index, item in enumerate(value)]
            case str():
                return self._clean_text(value, pointer)
            case Exponent():
                return float(value)
            case NumberText():
                self._note("numbers_as_text", pointer)
                return value.text
            case _:
                return value

    def _clean_text(self, text: str, pointer: str) -> str:
        if not _UNSTORABLE.search(text):
            return text
        self._note("characters_replaced", pointer)
        return _UNSTORABLE.sub(_REPLACEMENT, text)

    def _note(self, kind: str, pointer: str) -> None:
        noted = self.notes.setdefault(kind, [])
        if len(noted) < _MAX_NOTED:
            noted.append(pointer)
        elif noted[-1] != "...":
            noted.append("...")


def _pointer(parent: str, key: str | int) -> str:
    step = _UNSTORABLE.sub(_REPLACEMENT, str(key)).replace("~", "~0").replace("/", "~1")
    return f"{parent}/{step}"[:_MAX_POINTER_CHARACTERS]


def _printed_bytes(encoded: bytes) -> int:
    """An upper bound of the size of this JSON as PostgreSQL prints it: with blanks, and without exponents."""
    return len(encoded) + _blanks(encoded) + sum(min(int(found), 330) for found in _EXPONENT.findall(encoded))


def _blanks(encoded: bytes) -> int:
    return encoded.count(b",") + encoded.count(b":")


def _cut(event: dict[str, Any], limit: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cut the largest values until the event has at most `limit` bytes. It changes `event`."""
    cuts: list[dict[str, Any]] = []
    while (excess := _printed_bytes(orjson.dumps(event)) - limit) > 0:
        holder, key, pointer, size = _find_largest(event, excess)
        if len(cuts) == _MAX_CUTS or size < _MIN_CUT_BYTES:
            encoded = orjson.dumps(event)
            begin = encoded[:_KEPT_OF_EVENT_BYTES].decode(errors="ignore")
            return {"event": begin}, [*cuts, {"pointer": "", "bytes": len(encoded)}]
        value = holder[key]
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        holder[key] = text[:_KEPT_CHARACTERS]
        cuts.append({"pointer": pointer, "bytes": size})
    return event, cuts


def _find_largest(event: dict[str, Any], excess: int) -> tuple[Any, str | int, str, int]:
    """The innermost value that is larger than the excess, or else the largest member: where it is, and its size."""
    holder: Any = event
    size, key = _largest_child(holder)
    pointer = _pointer("", key)
    while isinstance(holder[key], dict | list) and holder[key]:
        inner_size, inner_key = _largest_child(holder[key])
        if inner_size < excess + _MIN_CUT_BYTES:
            break
        holder, key, size = holder[key], inner_key, inner_size
        pointer = _pointer(pointer, key)
    return holder, key, pointer, size


def _largest_child(value: Any) -> tuple[int, Any]:
    return max(((len(orjson.dumps(child)), key) for key, child in _children(value)), key=lambda found: found[0])


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items() if isinstance(value, dict) else enumerate(value))
