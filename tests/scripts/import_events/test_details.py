"""An event becomes details that the service takes, whole where it fits, and says what was changed."""

import json
from typing import Any

import pytest

from scripts.import_events.details import decode, to_details, to_storable
from src import json_parser
from src.audits.constants import MAX_DETAILS_BYTES
from src.audits.schemas import AuditCreate
from tests.audits.factories import audit_body


def details_of(text: str) -> dict[str, Any]:
    """The details of an event, which the service must take."""
    encoded = to_details(to_storable(decode(text, 0)[0]))
    value = json_parser.parse(encoded)
    AuditCreate.model_validate(audit_body(details=value))
    assert isinstance(value, dict)
    assert len(json.dumps(value, ensure_ascii=False).encode()) <= MAX_DETAILS_BYTES
    return value


@pytest.mark.parametrize(
    "number",
    ["0", "-0", "1.5", "1e5", "9007199254740992", "9007199254740993.0", "1e23", "100000000000000000000000", "1e308"],
)
def test_a_number_that_a_double_holds_stays_a_number(number: str) -> None:
    assert details_of(f'{{"a": {number}}}') == {"a": float(number)}


@pytest.mark.parametrize(
    "number",
    [
        "9007199254740993",
        "12345678901234567890",
        "-1" + "0" * 5_000,
        "0.12345678901234567891",
        "1e-400",
        "1e400",
        "NaN",
    ],
)
def test_a_number_that_no_double_holds_becomes_text_and_is_noted(number: str) -> None:
    assert details_of(f'{{"a": [{{"b/c": {number}}}]}}') == {
        "a": [{"b/c": number}],
        "_import": {"numbers_as_text": ["/a/0/b~1c"]},
    }


def test_characters_that_cannot_be_stored_are_replaced_and_noted() -> None:
    assert details_of('{"a": "x\\u0000y", "\\ud800": "\\udfff", "b": "\\\\u0000"}') == {
        "a": "x\ufffdy",
        "\ufffd": "\ufffd",
        "b": "\\u0000",
        "_import": {"characters_replaced": ["/a", "", "/\ufffd"]},
    }


def test_what_is_nested_too_deeply_becomes_text() -> None:
    levels = 40
    details = details_of('{"a": ' * levels + "1" + "}" * levels)
    note = details.pop("_import")
    depth = 0
    inner: Any = details
    while isinstance(inner, dict):
        depth, inner = depth + 1, inner["a"]
    assert depth == 32
    assert json.loads(inner)["a"]["a"]
    assert note == {"nested_as_text": ["/a" * 32]}


def test_the_largest_value_is_cut_and_the_rest_stays() -> None:
    event = {"id": 1, "request": {"body": "x" * 70_000, "path": "/a"}, "tags": ["y" * 5_000] * 3}
    details = details_of(json.dumps(event))
    assert details["request"] == {"body": "x" * 1_000, "path": "/a"}
    assert details["tags"] == event["tags"]
    assert details["_import"] == {"cut": [{"pointer": "/request/body", "bytes": 70_002}]}


@pytest.mark.parametrize(
    "event",
    [
        {"a": {str(number): "x" * 50 for number in range(3_000)}},
        {str(number): "x" * 50 for number in range(3_000)},
        {"a": [[[1.5e300] * 40] * 10] * 10},
        {"a": ["\u0001é\U0001f600" * 30] * 1_000, "b": "\\" * 60_000},
        {"a": [{"b": list(range(20_000))}, {"b": list(range(20_000))}]},
        {f"{number}": {"x" * 900: "y" * 4_000} for number in range(40)},
    ],
)
def test_an_event_that_is_too_large_is_cut_and_says_so(event: dict[str, Any]) -> None:
    assert details_of(json.dumps(event))["_import"]["cut"]


def test_a_member_of_that_name_is_kept() -> None:
    details = details_of('{"_import": {"a": 1}, "b": 1e400}')
    assert details == {"_import": {"a": 1}, "b": "1e400", "__import": {"numbers_as_text": ["/b"]}}
