"""The numbers of JSON, each of which is a double (RFC 7493, 2.2): which ones are accepted, and how answers write them.

Clients write a double by its exact value, or in its shortest form: the fewest digits that give the same double
(ECMA-262, Number::toString). From 2^53 these can be different integers: Python writes 2^60 as 1152921504606846976,
JavaScript as 1152921504606847000.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from math import isinf
from typing import Any

from pydantic_core import to_json

_MAX_EXACT = 2**53
# Every double is the nearest one to its first 17 digits.
_MAX_DIGITS = 17
# From here on, some readers refuse the integer, and with it the whole file.
_MIN_WITH_EXPONENT = 2.0**63
# Below this PostgreSQL writes 19 digits or more, so that `with_exponents` finds small and large numbers by one search.
_MAX_WITH_EXPONENT = 1e-17

# How to find numbers of many digits in a tenth of the time of a regular expression: after `bytes.translate` each begins
# with a space or a minus, which is followed by as many zeros.
_OUTLINE = bytes.maketrans(b"123456789E[:,\t\r\n", b"000000000e      ")
_PRECISE, _PRECISE_NEGATIVE = b" " + b"0" * (_MAX_DIGITS + 1), b"-" + b"0" * (_MAX_DIGITS + 1)
_SMALL = b"0e-000"
_LONG = b" " + b"0" * 19
_PRECISE_OR_SMALL = re.compile(rb"(?<![^\s,:\[-])(?:[0-9.]{%d}|[0-9.]+[eE]-[0-9]{3})" % (_MAX_DIGITS + 1))
_STRING_OR_LONG_NUMBER = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?(?=[0-9.]{19})[0-9.]++(?:[eE][+-]?[0-9]++)?', re.DOTALL
)


class LostNumber(str):
    """A number, as it was sent, that no double keeps."""


def may_lose_digits(text: bytes) -> bool:
    """Whether a JSON text may have numbers for which `parse_fraction` returns `LostNumber`.

    It is fast, and can be true because of digits in a string.
    """
    outline = (b" " + text).translate(_OUTLINE, b".")
    found = _PRECISE in outline or _PRECISE_NEGATIVE in outline or _SMALL in outline
    return found and _PRECISE_OR_SMALL.search(text) is not None


def parse_fraction(text: str) -> float | LostNumber:
    """The double of a number that has a fraction or an exponent; infinity if it is too large.

    It is lost if it has more than 17 digits and the double is not exactly the same number, or if the double is zero and
    the number is not.
    """
    double = float(text)
    if isinf(double) or (double and len(text) <= _MAX_DIGITS):
        return double
    digits = text.lower().partition("e")[0].replace(".", "").lstrip("-").strip("0")
    if not digits or (double and (len(digits) <= _MAX_DIGITS or Decimal(text) == Decimal(double))):
        return double
    return LostNumber(text)


def is_kept_integer(number: int) -> bool:
    """Whether the integer is the exact value or the shortest form of a double."""
    if -_MAX_EXACT <= number <= _MAX_EXACT:
        return True
    try:
        double = float(number)
    except OverflowError:
        return False
    return int(double) == number or _shortest(double) == number


def _shortest(double: float) -> int:
    return int(Decimal(repr(double)))


def count_ambiguous(value: Any) -> int:
    """How many numbers of a JSON value have two texts, so that `spell` yields 2^count values."""
    count, found = 0, [value]
    for item in found:  # The loop adds to `found`.
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
    if not isinstance(scalar, int | float) or abs(scalar) <= _MAX_EXACT:
        return (scalar,)
    double = float(scalar)
    exact, shortest = int(double), _shortest(double)
    return (exact,) if exact == shortest else (exact, shortest)


def with_exponents(text: bytes) -> bytes:
    """The JSON text with its numbers from 2^63 and below 1e-17, in magnitude, in their shortest form.

    These have an exponent: `1e+23`, `5e-324`. Other numbers stay as they are, and so do strings.
    """
    if _LONG not in (b" " + text).translate(_OUTLINE, b".-"):
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
