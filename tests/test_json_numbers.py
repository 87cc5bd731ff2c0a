"""What a service answers it accepts, and it accepts no number that it would change."""

import json
import math
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import to_json

from src import json_numbers, json_parser
from src.exceptions import AppError, ValidationFailed

DOUBLES = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]).filter(
    math.isfinite
) | st.floats(allow_nan=False, allow_infinity=False)
DIGITS = st.text("0123456789", min_size=1, max_size=30)
DECIMALS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    DIGITS.map(lambda digits: digits.lstrip("0") or "0"),
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.builds("{}{}".format, st.sampled_from(["e", "E", "e+", "E-", "e-"]), st.integers(0, 400)),
)
SHORTEST = [1e23, 2.0**60, 2.0**63, 2.0**64, 1e300, 1.7976931348623157e308, -1e23]


def _as_postgresql(value: Any) -> str:
    """As jsonb prints numbers: all digits, and no exponent."""
    return f"{Decimal(value):f}"


def _parse(number: str) -> Any:
    return json_parser.parse(f'{{"a": [{number}]}}'.encode())["a"][0]


def _is_refused(number: str) -> bool:
    try:
        _parse(number)
    except ValidationFailed:
        return True
    return False


@given(DOUBLES)
@example(2.0**63)
@example(-0.0)
@example(5e-324)
def test_what_is_answered_is_accepted_and_is_the_same_double(number: float) -> None:
    for stored in {to_json(number).decode(), repr(number), repr(int(number)) if number.is_integer() else "0"} - {"0"}:
        answered = json_numbers.with_exponents(f'{{"a": [{_as_postgresql(stored)}]}}'.encode())
        assert json.loads(answered, parse_int=float) == {"a": [number]}
        assert json_parser.parse(answered) == json.loads(answered)


@given(DECIMALS)
@example("12345678901234567.89")
@example("1e-400")
@example("0e400")
@example("0.00e-9999999999999999999999")
@example("1e-9999999999999999999999")
@example("0.3000000000000000000")
@example("0.1000000000000000055511151231257827021181583404541015625")
@example("1.00000000000000000000E+2")
def test_a_number_is_accepted_if_a_double_keeps_it(number: str) -> None:
    digits = number.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    if math.isinf(float(number)):
        return
    double = float(number)
    if number.lstrip("-").isdigit():
        kept = int(number) in (int(double), int(Decimal(repr(double))))
    else:
        kept = not digits or (double != 0 and (len(digits) <= 17 or Decimal(number) == Decimal(double)))
    assert _is_refused(number) is not kept
    if kept:
        assert float(_parse(number)) == double


@given(DOUBLES.filter(lambda number: number.is_integer()))
def test_the_integer_of_a_double_is_accepted_in_all_its_digits_and_in_its_shortest_form(number: float) -> None:
    for text in (str(int(number)), str(int(Decimal(repr(number))))):
        assert _parse(text) == int(text)


@pytest.mark.parametrize("number", SHORTEST)
def test_an_integer_beside_both_is_refused(number: float) -> None:
    for integer in (int(number), int(Decimal(repr(number)))):
        for difference in (-1, 1):
            assert _is_refused(str(integer + difference))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("12345678901234567.89", "inexact_number"),
        ("-0.1234567890123456789", "inexact_number"),
        ("1e-400", "inexact_number"),
        ("-1E-400", "inexact_number"),
        ("2e-324", "inexact_number"),
        (f"0.{'0' * 400}1", "inexact_number"),
        ("100000000000000000000001", "inexact_integer"),
    ],
)
def test_the_error_names_the_number(number: str, kind: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        json_parser.parse(f'{{"s": "{number}", "a": [1, {{"b": {number}}}]}}')
    (error,) = refused.value.extensions["errors"]
    assert (error["loc"], error["type"]) == (["body", "a", 1, "b"], kind)


@pytest.mark.parametrize("number", ["12345678901234567.89", "-12345678901234567.89", "1e-400"])
@pytest.mark.parametrize("text", ["%s", "[%s]", "[0,%s]", "[0, %s]", "[\n%s]", "[\t%s]", "[\r%s ]", '{"a":%s}'])
def test_a_number_is_refused_wherever_it_stands(text: str, number: str) -> None:
    with pytest.raises(ValidationFailed):
        json_parser.parse((text % number).encode())


@pytest.mark.parametrize("before", ["", "-", ",", ", ", ":", "[", " ", r"\"", r"\\"])
@pytest.mark.parametrize("after", ["", ",", "]", "}", " ", r"\"", r"\\", ": 1"])
@pytest.mark.parametrize("digits", ["12345678901234567.89", "1e-400", "12345678901234567890123", f"0.{'0' * 30}1"])
def test_digits_within_strings_stay_as_they_are(before: str, digits: str, after: str) -> None:
    text = f'{{"{before}{digits}{after}": ["{before}{digits}{after}", 1, "ü"]}}'.encode()
    assert json_parser.parse(text) == json.loads(text)
    assert json_numbers.with_exponents(text) == text


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        (str(10**23), "1e+23"),
        (str(-(10**23)), "-1e+23"),
        (str(2**63), "9.223372036854776e+18"),
        (str(2**63 - 1024), str(2**63 - 1024)),
        (str(-(2**63)), "-9.223372036854776e+18"),
        (str(2**60), "1152921504606846976"),
        ("12345678901234567890.5", "1.2345678901234567e+19"),
        ("0.00000000000000001", "0.00000000000000001"),
        ("0.000000000000000001", "1e-18"),
        (f"-0.{'0' * 323}5", "-5e-324"),
        ("0.10000000000000000000", "0.10000000000000000000"),
        ("0.0000123456789012345678", "0.0000123456789012345678"),
        ("1.2345678901234567e+300", "1.2345678901234567e+300"),
        # No double holds these: they were not sent through the API.
        ("1" + "0" * 400, "1" + "0" * 400),
        (f"0.{'0' * 400}1", f"0.{'0' * 400}1"),
    ],
)
def test_large_and_small_numbers_are_written_with_an_exponent(stored: str, written: str) -> None:
    text = '{"n": %s, "a": [%s, {"%s": "%s"}], "s": "\\\\", "b": %s}'
    names = ("n" * 3, 'n\\\\\\"')
    before = text % (stored, stored, *names, stored)
    assert json_numbers.with_exponents(before.encode()).decode() == text % (written, written, *names, written)


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('0123456789.e-:,[]{}"\\ '))
VALUES = st.recursive(
    st.none() | st.booleans() | DOUBLES.map(lambda n: int(n) if n.is_integer() else n) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_the_value_of_a_text_does_not_change(value: Any, ensure_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ensure_ascii).encode()
    written = json_numbers.with_exponents(text)
    assert json.loads(written, parse_int=float) == json.loads(text, parse_int=float)
    assert json_numbers.with_exponents(written) == written


@given(VALUES)
@example(2**63)
@example(-(2**63))
def test_no_answer_has_an_integer_from_2_63(value: Any) -> None:
    def check(text: str) -> None:
        assert abs(int(text)) < 2**63

    json.loads(json_numbers.with_exponents(json.dumps(value).encode()), parse_int=check)


def test_a_number_beyond_2_53_is_spelled_in_each_way() -> None:
    value = {"a": [2**60, {"b": 1e23}], "c": 2**53, "d": True, "e": 6.677e16, "f": "x"}
    spelled = [*json_numbers.spell(value)]
    assert json_numbers.count_ambiguous(value) == 2
    assert [(one["a"][0], one["a"][1]["b"]) for one in spelled] == [
        (first, second) for first in (2**60, 1152921504606847000) for second in (int(1e23), 10**23)
    ]
    assert all(one | {"a": value["a"]} == value for one in spelled)


def test_a_number_of_a_million_digits_is_soon_refused() -> None:
    for number in (f"0.{'3' * 1_000_000}", f"0.{'0' * 1_000_000}1", f"{'3' * 300}.{'3' * 1_000_000}"):
        with pytest.raises(AppError):
            json_parser.parse(f"[{number}]")
