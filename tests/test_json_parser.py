"""The strict parser accepts every JSON value that doubles and PostgreSQL can store, and nothing else."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from src import json_parser
from src.exceptions import AppError, MalformedJSON, ValidationFailed

INTEGERS = st.integers(-(2**53), 2**53) | st.integers(0, 900).map(lambda exponent: 2**exponent)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(VALUES, st.booleans())
def test_every_value_is_parsed_exactly(value: Any, ensure_ascii: bool) -> None:
    assert json_parser.parse(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == value


@given(st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_give_a_value_or_a_refusal(text: bytes) -> None:
    try:
        json_parser.parse(text)
    except (MalformedJSON, ValidationFailed):
        return
    json.loads(text)


@given(VALUES, st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_nan_and_infinities_are_malformed(value: Any, number: float) -> None:
    with pytest.raises(MalformedJSON):
        json_parser.parse(json.dumps([value, {"a": number}]).encode())


@pytest.mark.parametrize(
    "number",
    ["1e309", "1E+400", "-1e400", "1" + "0" * 309 + ".5", "12345678901234567890123e300", "1" + "0" * 300 + "e99"],
)
def test_a_number_too_large_for_a_double_is_malformed(number: str) -> None:
    with pytest.raises(AppError) as raised:
        json_parser.parse(f'{{"a": [{number}]}}'.encode())
    assert raised.value.status == 400


@given(st.integers(2**53 + 1, 2**900), st.integers(0, 99))
def test_an_integer_that_a_double_would_not_give_back_is_refused(large: int, zeros: int) -> None:
    # Its first and last digit that is 1, in base two, are further apart than those of a double can be. A few are what
    # the nearest double is written as: 18014398509481990.
    number = (large | 1) << zeros
    assume(Decimal(repr(float(number))) != number)
    with pytest.raises(ValidationFailed):
        json_parser.parse(json.dumps({"a": number}).encode())


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ('{"a": 1, "a": 2}', ["a"]),
        ('{"a": 1, "a": 1}', ["a"]),
        ('{"a": 1, "\\u0061": 2}', ["a"]),
        ('{"a" : 1,"a"\n:2}', ["a"]),
        ('{"b": {"": "\\":", "c": 1, "c": [], "\\":": 0}}', ["b", "c"]),
        ('[0, {"details": {"x": [{"y": 1, "y": 2}]}}]', [1, "details", "x", 0, "y"]),
    ],
)
def test_the_error_names_a_repeated_name(text: str, location: list[str | int]) -> None:
    with pytest.raises(ValidationFailed) as raised:
        json_parser.parse(text)
    (error,) = raised.value.extensions["errors"]
    assert (error["loc"], error["type"]) == (["body", *location], "repeated_name")


@pytest.mark.parametrize("text", ['{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}', r'{"a" : "\":", "\":": "\" :"}'])
def test_two_objects_may_have_the_same_name(text: str) -> None:
    assert json_parser.parse(text) == json.loads(text)


def test_the_list_of_errors_is_bounded() -> None:
    with pytest.raises(ValidationFailed) as raised:
        json_parser.parse(json.dumps(["\0"] * 5000).encode())
    assert len(raised.value.extensions["errors"]) == 1000


@pytest.mark.parametrize("text", [b"[" + b"{}," * 150_000 + b"{}]", b"[" + b"0," * 300_000 + b"0]", b'{"a":' * 300_001])
def test_too_many_values_are_refused(text: bytes) -> None:
    with pytest.raises(ValidationFailed) as refused:
        json_parser.parse(text)
    assert refused.value.extensions["errors"][0]["type"] == "too_many"


def test_the_values_of_a_large_batch_are_accepted() -> None:
    batch = [dict.fromkeys(map(str, range(100)), 0)] * 1_000
    assert json_parser.parse(json.dumps(batch).encode()) == batch


@pytest.mark.parametrize(
    ("inside", "at_most"),
    [
        ("[" + "9007199254740993," * 1_000 + "0]", 300_000),
        ('{"b":0,"b":1}', 1_000),
        # A thousand errors, each within 150 objects.
        (f'{{"{"d" * 128}":' * 150 + "[" + "9007199254740993," * 1_000 + "0]" + "}" * 150, 3_000_000),
    ],
)
def test_the_location_of_an_error_is_truncated(inside: str, at_most: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        json_parser.parse(f'{{"{"n" * 400_000}": {inside}}}')
    assert len(json.dumps(refused.value.extensions["errors"])) < at_most
    assert refused.value.extensions["errors"][0]["loc"][:2] == ["body", "n" * 128]
