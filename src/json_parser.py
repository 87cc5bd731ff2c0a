"""A strict JSON parser: it refuses malformed JSON, numbers that it would round, and text that PostgreSQL cannot store.

RFC 8259 for the syntax, I-JSON (RFC 7493, 2.2 and 2.3) for the numbers and the names.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from math import isinf
from typing import Any

from pydantic_core import from_json

from src import json_numbers
from src.exceptions import MalformedJSON, ValidationFailed

Location = tuple[str | int, ...]

# At least as many as a batch may have records, so that an invalid record in a full batch is always named.
_MAX_ERRORS = 1_000
# More would take too much memory, and hold up all other requests: tests/benchmarks/README.md has the figures. A batch
# of 1,000 records with 100 values each stays below.
_MAX_VALUES = 300_000
# Of one object in a body, where a model refuses each unknown field.
_MAX_FIELDS = 1_000
_BEYOND_DOUBLE = "beyond_double"
_MAX_EXACT = 2**53
_BLANKS = b" \t\r\n"


def parse(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises `MalformedJSON` for a text that is not JSON (this includes NaN, infinities, numbers too large for a double,
    lone surrogates and invalid UTF-8), and `ValidationFailed` for JSON that cannot be stored exactly as it was sent.
    """
    if isinstance(text, bytes):
        check_value_count(text)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise ValidationFailed([_error((), "Nested too deeply", "too_deep")]) from None
        raise MalformedJSON(f"Not JSON: {error}.") from None
    sent = text if isinstance(text, bytes) else text.encode()
    names, may_be_lossy = _survey(value)
    if json_numbers.may_lose_digits(sent):
        _check_lossless(json.loads(sent, parse_float=json_numbers.parse_fraction))
    elif may_be_lossy or rb"\u0000" in sent:
        _check_lossless(value)
    _check_unique_names(sent, names)
    return value


def check_value_count(text: bytes) -> None:
    """Refuse a text with too many values. The count is fast and not exact: it includes characters within strings.

    Raises `ValidationFailed`.
    """
    if len(text) > _MAX_VALUES and sum(map(text.count, (b"{", b"[", b",", b":"))) > _MAX_VALUES:
        raise ValidationFailed([_error((), f"Has more than {_MAX_VALUES} names and values", "too_many")])


def refuse_crowded_objects(body: Any) -> None:
    """Raise `ValidationFailed` if the body, or an item of a list in it, has more fields than any model could have.

    Validation makes an error for each unknown field, which holds up all other requests (tests/benchmarks/README.md).
    """
    lists = [value for value in body.values() if isinstance(value, list)] if isinstance(body, dict) else []
    for candidate in chain([body], *lists):
        if isinstance(candidate, dict) and len(candidate) > _MAX_FIELDS:
            raise ValidationFailed([_error((), f"Has an object of more than {_MAX_FIELDS} fields", "too_many")])


class _ObjectMembers(list[tuple[str, Any]]):
    """The members of an object in the order in which they were sent, with repeated names."""


def _survey(value: Any) -> tuple[int, bool]:
    """How many names the value has, and whether it has a number that a double may not hold.

    It uses no recursion and keeps no locations, so it is much faster than `_find_lossy_values`.
    """
    names, may_be_lossy, found = 0, False, [value]
    for item in found:  # The loop adds to `found`.
        kind = type(item)
        if kind is str:
            continue
        if kind is dict:
            names += len(item)
            found += item.values()
        elif kind is list:
            found += item
        elif kind is int or kind is float:
            may_be_lossy |= not -_MAX_EXACT <= item <= _MAX_EXACT
    return names, may_be_lossy


def _check_unique_names(text: bytes, names: int) -> None:
    """Refuse objects with repeated names, of which the parser keeps only the last value.

    A name ends with a quote and a colon, maybe with blanks between them. If the text has more of these than the value
    has `names`, names were lost, or strings contain them. Only then the text is parsed again, because that takes longer
    (tests/benchmarks/README.md).
    """
    if text.translate(None, _BLANKS).count(b'":') == names:
        return
    sent = json.loads(text, object_pairs_hook=_ObjectMembers, parse_int=str, parse_float=str)
    if errors := list(islice(_find_repeated_names(sent, ()), _MAX_ERRORS)):
        raise ValidationFailed(errors)


def _find_repeated_names(value: list[Any], location: Location) -> Iterator[dict[str, Any]]:
    if isinstance(value, _ObjectMembers) and len(dict(value)) < len(value):
        for name, times in Counter(name for name, _ in value).items():
            if times > 1:
                yield _error((*location, name), "This name comes more than once in its object", "repeated_name")
    for key, item in value if isinstance(value, _ObjectMembers) else enumerate(value):
        if isinstance(item, list):
            yield from _find_repeated_names(item, (*location, key))


def _check_lossless(value: Any) -> None:
    errors = list(islice(_find_lossy_values(value, ()), _MAX_ERRORS))
    if any(error["type"] == _BEYOND_DOUBLE for error in errors):
        raise MalformedJSON("A number is larger than a double can hold.")
    if errors:
        raise ValidationFailed(errors)


def _find_lossy_values(value: Any, location: Location) -> Iterator[dict[str, Any]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _find_lossy_values(key, location)
                yield from _find_lossy_values(item, (*location, key))
        case list():
            for index, item in enumerate(value):
                yield from _find_lossy_values(item, (*location, index))
        case _ if loss := _describe_loss(value):
            yield _error(location, *loss)


def _describe_loss(scalar: Any) -> tuple[str, str] | None:
    """The message and the type of the error for a scalar that cannot be stored exactly."""
    match scalar:
        case float() if isinf(scalar):
            return "", _BEYOND_DOUBLE
        case json_numbers.LostNumber():
            return "A double does not hold this number; send fewer digits, or a string", "inexact_number"
        case str() if "\0" in scalar:
            return "Text must not contain the character NUL", "nul_character"
        case int() if not json_numbers.is_kept_integer(scalar):
            return "A double does not hold this integer exactly; send it as a string", "inexact_integer"
    return None


def _error(location: Location, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", *location], "msg": message, "type": kind}
