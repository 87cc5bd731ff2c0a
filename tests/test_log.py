"""The form and the length of log lines."""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from logging.config import DictConfigurator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.log import RequestContextFilter, logging_config

CONFIG = logging_config("INFO")
FORMATTER: logging.Formatter = DictConfigurator(CONFIG).configure_formatter(CONFIG["formatters"]["json"])
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT


FIXED = {"timestamp", "level", "logger", "message", "request_id", "trace_id"}


def formatter(max_line_bytes: int) -> logging.Formatter:
    config = logging_config("INFO", max_line_bytes)
    return DictConfigurator(config).configure_formatter(config["formatters"]["json"])


def write(value: Any) -> str:
    line = FORMATTER.format(logging.makeLogRecord({"msg": "m", "value": value}))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    return line


def write_within(max_line_bytes: int, **fields: Any) -> dict[str, Any]:
    """Log the fields, and parse the line. The handler adds a line break to it."""
    record = logging.makeLogRecord({"msg": "m"} | fields)
    assert RequestContextFilter().filter(record)
    line = formatter(max_line_bytes).format(record) + "\n"
    assert len(line.encode()) <= max_line_bytes
    assert line.isascii()
    assert line.count("\n") == 1
    read: dict[str, Any] = json.loads(line)
    assert read.keys() >= FIXED
    return read


def test_a_line_has_no_copy_of_the_message_for_terminals() -> None:
    assert write_within(1024, color_message="uvicorn's copy").keys() == FIXED


@given(VALUES | st.dictionaries(ANY_TEXT, VALUES))
def test_any_value_is_logged_as_one_line_of_ascii_that_reads_back(value: Any) -> None:
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
        ({"a": float("nan"), "b": "/\ud800"}, {"a": None, "b": "/\ud800"}),
        ([2**64, (float("-inf"),)], [2**64, [None]]),
    ],
)
def test_values_that_json_does_not_support_are_converted(value: Any, written: Any) -> None:
    assert json.loads(write(value))["value"] == written


def fail_deeply(depth: int) -> None:
    if depth:
        try:
            fail_deeply(depth - 1)
        except (ValueError, RuntimeError) as error:
            raise RuntimeError(f"step {depth} " + "ü" * 50) from error
    raise ValueError("the first")


@pytest.mark.parametrize("max_line_bytes", [1024, 8000, 20_000])
def test_a_long_traceback_loses_its_middle_and_says_how_much(max_line_bytes: int) -> None:
    with pytest.raises(RuntimeError) as raised:
        fail_deeply(200)
    info = (raised.type, raised.value, raised.tb)
    whole = "".join(traceback.format_exception(*info)).removesuffix("\n")
    written = write_within(max_line_bytes, exc_info=info, request_id="r-1")
    start, left_out, end = re.fullmatch(
        r"(.*)\.\.\. (\d+) characters left out \.\.\.(.*)", written["exc_info"], re.DOTALL
    ).groups()  # type: ignore[union-attr]
    assert whole.startswith(start)
    assert whole.endswith(end)
    assert len(whole) == len(start) + int(left_out) + len(end)
    assert start.startswith("Traceback (most recent call last):")
    assert "RuntimeError: step 200" in end or max_line_bytes == 1024
    assert (written["message"], written["request_id"]) == ("m", "r-1")
    # The line uses the room that there is.
    assert len(json.dumps(written, separators=(",", ":"))) > max_line_bytes - 20


@pytest.mark.parametrize("character", ["a", "\x01", "\x7f", "ü", "\U0001f600", '"', "\ud800", "\n"])
def test_escaped_bytes_count_towards_the_limit(character: str) -> None:
    for name in ("path", "msg"):
        written = write_within(8000, **{name: character * 8000}, status=404)
        text = written["message" if name == "msg" else name]
        start, _, rest = text.partition("... ")
        left_out, _, end = rest.partition(" characters left out ...")
        assert start + end == character * (8000 - int(left_out))
        assert abs(len(start) - len(end)) <= 1
        assert written["status"] == 404


def test_a_line_that_fits_is_unchanged() -> None:
    fields = {"msg": "m", "created": 1.0}
    room = 1024 - len("\n") - len(FORMATTER.format(logging.makeLogRecord(fields | {"path": ""})))
    for length, is_whole in ((room, True), (room + 1, False)):
        line = formatter(1024).format(logging.makeLogRecord(fields | {"path": "b" * length}))
        assert (json.loads(line)["path"] == "b" * length) == is_whole
        assert len(line) <= 1023


def test_two_long_values_are_both_truncated_and_short_ones_stay() -> None:
    written = write_within(2000, path="a" * 5000, other={"b": ["c" * 5000]}, status=404)
    assert (written["status"], written["path"][:9], written["other"][:9]) == (404, "a" * 9, '{"b":["cc')
    assert 500 < len(written["path"]) < 1000
    assert 500 < len(written["other"]) < 1000


def test_the_fixed_fields_stay_when_there_are_too_many_fields() -> None:
    written = write_within(1024, **{f"field_{number}": "v" for number in range(500)}, request_id="r" * 128)
    assert written.keys() == FIXED | {"fields_left_out"}
    assert (written["fields_left_out"], written["request_id"]) == (500, "r" * 128)
    assert write_within(1024, **{"n" * 5000: 1, "msg": "m" * 5000})["fields_left_out"] == 1


@given(
    st.dictionaries(st.text(min_size=1).map("x{}".format), VALUES | st.lists(VALUES)), ANY_TEXT, st.integers(1, 9000)
)
def test_no_line_exceeds_the_limit(fields: dict[str, Any], text: str, times: int) -> None:
    write_within(1024, **fields, path=text * times)
    write_within(8000, **fields, path=text * times)
