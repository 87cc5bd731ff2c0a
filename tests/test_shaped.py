"""`ShapedReader`, with records as PostgreSQL writes them."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from src.audits.schemas import EXAMPLE_RECORD, Audit, AuditCreate
from src.audits.statements import READER
from src.shaped import ShapedReader

_pydantic = TypeAdapter(list[Audit])
NULLS = {"correlation_id": None, "source": None, "event_id": None}
REQUIRED = [name for name in Audit.model_fields if name not in NULLS]


@pytest.mark.parametrize("record", [EXAMPLE_RECORD, EXAMPLE_RECORD | NULLS])
def test_a_valid_record_is_read_without_pydantic(record: dict[str, Any]) -> None:
    text = json.dumps(record)
    (read,), (expected,) = READER.read([text]), _pydantic.validate_json(f"[{text}]")
    assert not isinstance(read, Audit)
    for name in {*Audit.model_fields} - {"details"}:
        assert getattr(read, name) == getattr(expected, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in REQUIRED),
        *((name, 31415926.5) for name in Audit.model_fields if not name.endswith("_at")),
        *((name, []) for name in Audit.model_fields),
        *((name, {}) for name in Audit.model_fields if name != "details"),
        *((name, "2026-01-31T12:00:00ZUTC") for name in ("occurred_at", "recorded_at", "updated_at")),
        *((name, "2026-01-31T12:00:00") for name in ("occurred_at", "recorded_at", "updated_at")),
        ("id", "019c1400"),
        ("actor_type", "31415926"),
        ("status", "31415926"),
        ("version", "x"),
        ("details", "{}"),
        ("unknown", 1),
    ],
)
def test_a_damaged_record_is_refused_by_the_error_of_pydantic(name: str, value: Any) -> None:
    valid, damaged = json.dumps(EXAMPLE_RECORD), json.dumps(EXAMPLE_RECORD | {name: value})
    with pytest.raises(ValidationError) as refused:
        READER.read([valid, damaged])
    with pytest.raises(ValidationError) as expected:
        _pydantic.validate_json(f"[{valid},{damaged}]")
    assert refused.value.errors() == expected.value.errors()


def test_what_only_pydantic_accepts_is_accepted() -> None:
    """As a column of another type may give it."""
    (read,) = READER.read([json.dumps(EXAMPLE_RECORD | {"version": "7"})])
    assert read.version == 7


@pytest.mark.parametrize("levels", [2_000, 200_000])
def test_details_that_are_nested_too_deeply_are_refused(levels: int) -> None:
    details = '{"a":' * levels + "{}" + "}" * levels
    with pytest.raises(ValidationError):
        READER.read([json.dumps(EXAMPLE_RECORD | {"details": 0}).replace('"details": 0', f'"details": {details}')])


def test_a_model_with_constraints_is_refused() -> None:
    """They would not be checked."""
    with pytest.raises(AssertionError, match="action"):
        ShapedReader(AuditCreate)
