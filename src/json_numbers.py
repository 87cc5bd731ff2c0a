"""The numbers of JSON, each of which is a double (RFC 7493, 2.2): which ones are accepted, and how answers write them.

Clients write a double by its exact value, or in its shortest form: the fewest digits that give the same double
(ECMA-262, Number::toString). From 2^53 these can be different integers: Python writes 2^60 as 1152921504606846976,
JavaScript as 1152921504606847000.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

from pydantic_core import to_json

_MAX_EXACT = 2**53
# Every double is the nearest one to its first 17 digits.
_MAX_DIGITS = 17
# From here on, some readers refuse the integer, and with it the whole file.
_MIN_WITH_EXPONENT = 2.0**63
# Below, PostgreSQL writes 19 digits or more, so that `with_exponents` searches for one thing.
_MAX_WITH_EXPONENT = 1e-17

# A regular expression takes ten times as long to find digits in a row.
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS = b"0" * (_MAX_DIGITS + 1)
_DIGITS_OF_2_63 = b"0" * 19
_SMALL = b"e-000"
_PRECISE_OR_SMALL = re.compile(rb"(?<![^\s,:\[-])(?:[0-9.]{%d}|[0-9.]+[eE]-[0-9]{3})" % (_MAX_DIGITS + 1))
_STRING_OR_LONG_NUMBER = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?(?=[0-9.]{19})[0-9.]++(?:[eE][+-]?[0-9]++)?', re.DOTALL
)


class SentNumber(str):
    """A number with a fraction or an exponent, as it was sent."""


def may_be_rounded(text: bytes) -> bool:
    """Whether a JSON text may have a number that a double rounds or makes zero. Integers are not looked at.

    It is fast, and strings can make it true.
    """
    digits = text.translate(_DIGITS_AS_ZEROS, b".")
    return (_MANY_DIGITS in digits or _SMALL in digits) and _PRECISE_OR_SMALL.search(text) is not None


def is_kept(number: SentNumber) -> bool:
    """Whether a double keeps the number: all of more than 17 digits, and that it is not zero."""
    digits = number.lower().partition("e")[0].replace(".", "").lstrip("-").strip("0")
    if not digits:
        return True
    double = float(number)
    return double != 0 and (len(digits) <= _MAX_DIGITS or Decimal(number) == Decimal(double))


def is_kept_integer(number: int) -> bool:
    """Whether the integer is the exact value or the shortest form of a double."""
    if -_MAX_EXACT <= number <= _MAX_EXACT:
        return True
    try:
        return number in _integers_of(float(number))
    except OverflowError:
        return False


def _integers_of(double: float) -> tuple[int, ...]:
    """The integers that clients write for a double from 2^53: its exact value, and its shortest form if it differs."""
    exact, shortest = int(double), int(Decimal(repr(double)))
    return (exact,) if exact == shortest else (exact, shortest)


def count_ambiguous(value: Any) -> int:
    """How many numbers of a JSON value have two texts, so that `spell` yields 2^count values."""
    count, found = 0, [value]
    for item in found:  # it grows meanwhile
        if isinstance(item, dict):
            found += item.values()
        elif isinstance(item, list):
            found += item
        else:
            count += len(_texts_of(item)) - 1
    return count


def spell(value: Any) -> Iterator[Any]:
    """Yield the JSON value with each choice of texts for its numbers. PostgreSQL compares all digits."""
    if isinstance(value, dict):
        for items in product(*map(spell, value.values())):
            yield dict(zip(value, items, strict=True))
    elif isinstance(value, list):
        yield from map(list, product(*map(spell, value)))
    else:
        yield from _texts_of(value)


def _texts_of(scalar: Any) -> tuple[Any, ...]:
    if isinstance(scalar, int | float) and abs(scalar) > _MAX_EXACT:
        return _integers_of(float(scalar))
    return (scalar,)


def with_exponents(text: bytes) -> bytes:
    """The JSON text with its numbers from 2^63 and below 1e-17, in magnitude, in their shortest form.

    These have an exponent: `1e+23`, `5e-324`. Other numbers stay as they are, and so do strings.
    """
    if _DIGITS_OF_2_63 not in text.translate(_DIGITS_AS_ZEROS, b"."):
        return text
    return _STRING_OR_LONG_NUMBER.sub(_with_exponent, text)


def _with_exponent(found: re.Match[bytes]) -> bytes:
    text = found[0]
    if text.startswith(b'"'):
        return text
    number = float(text)
    magnitude = abs(number)
    if _MIN_WITH_EXPONENT <= magnitude < float("inf") or 0 < magnitude < _MAX_WITH_EXPONENT:
        return to_json(number)
    return text
