"""A strict JSON parser: what is malformed, would be rounded or cannot be stored is refused.

RFC 8259 for the syntax, I-JSON (RFC 7493, 2.2 and 2.3) for the numbers and the names.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import isinf
from typing import Any

from pydantic_core import from_json

from src.exceptions import MalformedJSON, ValidationFailed

Location = tuple[str | int, ...]

# More than a batch has items, so that each that is bad is named.
_MOST_ERRORS = 1_000
# Each takes some hundred bytes, for two that were sent: four mebibytes of {} took 117 MB, and held up everybody for 0.3
# to 1.5 s; 420,000 names, for 1.7 to 3.4 s. A batch of 1,000 records with 100 values each is within it.
_MOST_VALUES = 300_000
_BEYOND_DOUBLE = "beyond_double"
# Only a text in which this is found can hold a NUL, an infinity or an integer beyond 2^53: the walk through every value
# in Python is spared for all others.
_SUSPECT = re.compile(rb"\\u0000|\d[eE]\+?0*\d{3}|\d{16}")
_SPACED_COLON = re.compile(rb'"[ \t\r\n]++:')


def parse(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises `MalformedJSON` for what is not JSON (NaN, infinities, a number beyond a double, a lone surrogate, invalid
    UTF-8), and `ValidationFailed` for what is JSON and cannot be kept as it was sent.
    """
    if isinstance(text, bytes):
        _refuse_crowded(text)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise ValidationFailed([_error((), "Nested too deeply", "too_deep")]) from None
        raise MalformedJSON(f"Not JSON: {error}.") from None
    sent = text if isinstance(text, bytes) else text.encode()
    if _SUSPECT.search(sent):
        _refuse_lossy(value)
    _refuse_repeated_names(sent, value)
    return value


def _refuse_crowded(text: bytes) -> None:
    """Counts what is within strings too: it need not be exact, and takes no time."""
    if sum(map(text.count, (b"{", b"[", b",", b":"))) > _MOST_VALUES:
        raise ValidationFailed([_error((), f"Has more than {_MOST_VALUES} names and values", "too_many")])


class _Object(list[tuple[str, Any]]):
    """An object as it was sent: with every name as often as it came."""


def _refuse_repeated_names(text: bytes, value: Any) -> None:
    """Of values under one name the parser keeps the last.

    A name ends with a quote and a colon. Where there are more of these than names, some were lost, or are within
    strings: only then is the text parsed again, which takes five times as long.
    """
    if text.count(b'":') == _count_names(value) and not _SPACED_COLON.search(text):
        return
    sent = json.loads(text, object_pairs_hook=_Object, parse_int=str, parse_float=str)
    if errors := list(islice(_repeated_names(sent, ()), _MOST_ERRORS)):
        raise ValidationFailed(errors)


def _count_names(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_names, value.values()))
    if isinstance(value, list):
        return sum(map(_count_names, value))
    return 0


def _repeated_names(value: list[Any], location: Location) -> Iterator[dict[str, Any]]:
    if isinstance(value, _Object) and len(dict(value)) < len(value):
        for name, times in Counter(name for name, _ in value).items():
            if times > 1:
                yield _error((*location, name), "This name comes more than once in its object", "repeated_name")
    for key, item in value if isinstance(value, _Object) else enumerate(value):
        if isinstance(item, list):
            yield from _repeated_names(item, (*location, key))


def _refuse_lossy(value: Any) -> None:
    errors = list(islice(_lossy(value, ()), _MOST_ERRORS))
    if any(error["type"] == _BEYOND_DOUBLE for error in errors):
        raise MalformedJSON("A number is larger than a double can hold.")
    if errors:
        raise ValidationFailed(errors)


def _lossy(value: Any, location: Location) -> Iterator[dict[str, Any]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _lossy(key, location)
                yield from _lossy(item, (*location, key))
        case list():
            for index, item in enumerate(value):
                yield from _lossy(item, (*location, index))
        case str() if "\0" in value:
            yield _error(location, "Text must not contain the character NUL", "nul_character")
        case float() if isinf(value):
            yield _error(location, "", _BEYOND_DOUBLE)
        case int() if not _is_double(value):
            yield _error(
                location, "A double does not hold this integer exactly; send it as a string", "inexact_integer"
            )


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


def _error(location: Location, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", *location], "msg": message, "type": kind}
