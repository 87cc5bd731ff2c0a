"""The patterns in the OpenAPI document say what the models accept."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from src.audits.constants import MAX_NAME_LENGTH, NAME_FILTER_PATTERN, NAME_PATTERN
from src.audits.field_types import Name, NameFilter

# Mostly characters at which the rules differ: Unicode's spaces, its other invisible characters, controls, and the mark.
_SPACES = [chr(code) for code in range(0x3001) if chr(code).isspace()]
CHARACTERS = st.sampled_from([*_SPACES, *"*a.", "\0", "\x7f", "\x80", "\u200b", "\ufeff"]) | st.characters(
    exclude_categories=["Cs"]
)


def accepts(adapter: TypeAdapter[str], value: str) -> bool:
    try:
        return adapter.validate_python(value) == value
    except ValidationError:
        return False


def matches(pattern: str, value: str) -> bool:
    """As ECMA-262 does, whose `$` is the end alone: Python's matches before a last line break too."""
    return re.search(pattern.replace("$", r"\Z"), value) is not None


@given(st.text(CHARACTERS, min_size=1, max_size=5))
@example("0\n")
@example("*")
@example("a *")
@example(" *")
def test_names_and_their_filters_are_accepted_as_their_patterns_say(value: str) -> None:
    assert accepts(TypeAdapter(Name), value) == matches(NAME_PATTERN, value)
    assert accepts(TypeAdapter(NameFilter), value) == matches(NAME_FILTER_PATTERN, value)


@pytest.mark.parametrize(("value", "accepted"), [("a" * 256 + "*", True), ("a" * 257 + "*", False), ("a" * 257, False)])
def test_a_prefix_may_be_as_long_as_a_name(value: str, accepted: bool) -> None:
    assert accepts(TypeAdapter(NameFilter), value) is accepted
    assert MAX_NAME_LENGTH == 256
