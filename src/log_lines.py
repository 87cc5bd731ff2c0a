"""Log lines as JSON, none longer than the log collector accepts."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from contextlib import suppress
from math import isfinite
from typing import Any

import orjson

# Every line has these fields, even if others are left out.
FIXED_FIELDS = ("timestamp", "level", "logger", "message", "request_id", "trace_id")
# A truncated value has at least this many bytes: enough to say how much is left out.
_MIN_VALUE_BYTES = 64
# A line with only the fixed fields, each truncated to the minimum, always fits into this limit.
MIN_LINE_LIMIT_BYTES = 1024


def to_line(record: dict[str, Any], max_bytes: int, **options: Any) -> str:
    """The record as one JSON object in ASCII. With its line break it has at most `max_bytes` (1,024 or more).

    A value that is too long loses its middle, since the last lines of a traceback say most. The value says how many
    characters are left out.
    """
    line = to_ascii_json(record, **options)
    if len(line) < max_bytes:
        return line
    values = {name: to_ascii_json(value, **options) for name, value in record.items()}
    texts = {name: value for name, value in record.items() if isinstance(value, str)}
    shortened = _build_within(values, texts, max_bytes - 1)
    if shortened is None:
        # There are so many fields, or their names are so long, that there is no room for the values.
        fixed = {name: value for name, value in values.items() if name in FIXED_FIELDS}
        shortened = _build_within(fixed | {"fields_left_out": str(len(values) - len(fixed))}, texts, max_bytes - 1)
    assert shortened is not None
    return shortened


def to_ascii_json(record: Any, **options: Any) -> str:
    """The record as JSON in ASCII.

    orjson is faster than `json` (tests/benchmarks/README.md). `json` writes what orjson refuses, such as a
    lone surrogate, and escapes what is not ASCII, which stdout may not accept.
    """
    with suppress(orjson.JSONEncodeError):
        line = orjson.dumps(record)
        if line.isascii():
            return line.decode()
        record = orjson.loads(line)
    return json.dumps(_with_json_numbers(record), separators=(",", ":"), **options)


def _with_json_numbers(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON cannot express; orjson writes null too."""
    match value:
        case float() if not isfinite(value):
            return None
        case dict():
            return {name: _with_json_numbers(member) for name, member in value.items()}
        case list() | tuple():
            return [_with_json_numbers(item) for item in value]
    return value


def _build_within(values: Mapping[str, str], texts: Mapping[str, str], room: int) -> str | None:
    """A JSON object of the values (each is JSON) in at most `room` bytes. The longest are truncated to one size.

    `texts` holds the values that are strings, before they were made JSON. Returns None if each truncated value would
    get less than `_MIN_VALUE_BYTES`.
    """
    names = {name: f"{json.dumps(name)}:" for name in values}
    size = _max_value_size(map(len, values.values()), room - len("{}") - sum(len(name) + 1 for name in names.values()))
    if size < _MIN_VALUE_BYTES:
        return None
    fields = (
        names[name] + (value if len(value) <= size else _truncate(texts.get(name, value), size))
        for name, value in values.items()
    )
    return f"{{{','.join(fields)}}}"


def _max_value_size(sizes: Iterable[int], room: int) -> int:
    """The size to which larger values have to be truncated, so that all of them fit into `room`."""
    ascending = sorted(sizes)
    for position, size in enumerate(ascending):
        share = room // (len(ascending) - position)
        if size > share:
            return share
        room -= size
    return max(_MIN_VALUE_BYTES, ascending[-1])


def _truncate(text: str, size: int) -> str:
    """JSON of both ends of the text, as much as fits into `size` bytes with escapes and quotes."""
    # Each character takes at least one byte.
    kept = bisect_right(range(size), size, key=lambda kept: len(json.dumps(_without_middle(text, kept)))) - 1
    return json.dumps(_without_middle(text, kept))


def _without_middle(text: str, kept: int) -> str:
    """The first and the last characters of the text, `kept` in all."""
    end = kept // 2
    return f"{text[: kept - end]}... {len(text) - kept} characters left out ...{text[len(text) - end :]}"
