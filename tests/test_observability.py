"""What a log line is written as."""

import json
import logging
from datetime import UTC, datetime
from logging.config import DictConfigurator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.observability import logging_config

CONFIG = logging_config("INFO")
FORMATTER: logging.Formatter = DictConfigurator(CONFIG).configure_formatter(CONFIG["formatters"]["json"])
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT


def write(value: Any) -> str:
    line = FORMATTER.format(logging.makeLogRecord({"msg": "m", "value": value}))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    return line


@given(VALUES | st.dictionaries(ANY_TEXT, VALUES))
def test_whatever_is_logged_is_one_line_of_ascii_that_reads_back(value: Any) -> None:
    assert json.loads(write(value))["value"] == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00"),
        (b"\xff", "_w=="),
        (ValueError("no"), "ValueError: no"),
        (ValueError, "ValueError"),
        (float("nan"), None),
        ([float("inf"), "ü"], [None, "ü"]),
    ],
)
def test_what_json_does_not_know_is_written_as_what_it_does(value: Any, written: Any) -> None:
    assert json.loads(write(value))["value"] == written
