"""What a log line is written as."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from src.observability import to_ascii_json

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT


@given(st.dictionaries(ANY_TEXT, VALUES))
def test_whatever_is_logged_is_one_line_of_ascii_that_reads_back(record: dict[str, Any]) -> None:
    line = to_ascii_json(record)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == record
