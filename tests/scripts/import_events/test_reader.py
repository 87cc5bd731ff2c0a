"""Events are found whichever way a file holds them, and what is not JSON costs no other event."""

import gzip
import io
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from scripts.import_events.details import decode
from scripts.import_events.reader import Reader, Unreadable, unpacked

ENVELOPES = ("Records", "items")
EVENTS: list[Any] = [{"id": number, "text": '[{"]}\\ é\u2028\U0001f600', "more": [{"a": [1]}]} for number in range(5)]


def read(data: bytes) -> tuple[list[Any], list[tuple[int, str]]]:
    """The values of a file, and the line and the reason of each failure."""
    values: list[Any] = []
    failures: list[tuple[int, str]] = []
    reader = Reader(unpacked(io.BytesIO(data)), "file", ENVELOPES, decode)
    while True:
        try:
            values.append(next(reader))
        except StopIteration:
            return values, failures
        except Unreadable as error:
            failures.append((reader.place.line, str(error)))


def lines(separator: str = "\n", **options: Any) -> str:
    return separator.join(json.dumps(event, **options) for event in EVENTS)


LAYOUTS = {
    "NDJSON": lines(),
    "NDJSON with CRLF and empty lines": lines("\r\n\r\n") + "\r\n",
    "no separator": lines(""),
    "pretty": lines("\n", indent=2),
    "array": json.dumps(EVENTS),
    "array, an event a line": "[\n" + lines(",\n") + "\n]\n",
    "array of arrays": json.dumps([EVENTS[:2], EVENTS[2:]]),
    "arrays one after the other": json.dumps(EVENTS[:2]) + json.dumps(EVENTS[2:]),
    "envelope": json.dumps({"Records": EVENTS}),
    "envelope with members around": json.dumps(
        {"kind": "EventList", "metadata": {"a": "}"}, "n": -1.5, "items": EVENTS, "next": {"a": [1]}, "last": None}
    ),
    "an envelope a line": "\n".join(json.dumps({"Records": part, "n": 1}) for part in (EVENTS[:2], [], EVENTS[2:])),
    "byte order mark": "\ufeff" + lines(),
    "not only ASCII": lines(ensure_ascii=False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_every_layout_gives_the_same_events(layout: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.import_events.reader._CHUNK_BYTES", chunk)
    assert read(LAYOUTS[layout].encode()) == (EVENTS, [])


def test_gzip_of_several_members_is_unpacked() -> None:
    assert read(gzip.compress(lines().encode()) + gzip.compress(b"\n" + lines().encode())) == (EVENTS * 2, [])


def test_utf_16_is_read_by_its_mark() -> None:
    assert read(lines().encode("utf-16")) == (EVENTS, [])


@pytest.mark.parametrize("chunk", [3, 1 << 18])
@pytest.mark.parametrize(
    "broken", ['{"a": ', '{"a" 1}', "hello", '{"a": "cut', '{"a": tru}', "}", '{"a": [1}', '"\\x"']
)
def test_a_broken_line_is_named_and_costs_no_other(broken: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.import_events.reader._CHUNK_BYTES", chunk)
    values, failures = read(f'{{"n": 1}}\n{{"n": 2}}\n{broken}\n{{"n": 3}}\n{{"n": 4}}\n'.encode())
    assert values == [{"n": number} for number in (1, 2, 3, 4)]
    assert [line for line, _ in failures] == [3]


@pytest.mark.parametrize("text", ['[{"n": 1},', '[{"n": 1}', '{"Records": [{"n": 1}', '{"Records": [{"n": 1}]'])
def test_an_array_that_does_not_end_is_reported(text: str) -> None:
    values, failures = read(text.encode())
    assert values == [{"n": 1}]
    assert failures == [(1, "The file ends in the middle of an array.")]


def test_an_event_that_is_cut_off_is_reported() -> None:
    values, failures = read(lines().encode()[:-3])
    assert values == EVENTS[:-1]
    assert [line for line, _ in failures] == [len(EVENTS)]


def test_a_broken_gzip_gives_what_comes_before() -> None:
    noise = random.Random(1)
    events = [{"n": number, "noise": noise.randbytes(500).hex()} for number in range(2_000)]
    packed = gzip.compress("\n".join(map(json.dumps, events)).encode())
    values, failures = read(packed[: len(packed) * 3 // 4])
    assert values == events[: len(values)]
    # All that can be unpacked.
    assert len(values) > 1_400
    assert len(failures) == 1


@pytest.mark.parametrize("damage", [lambda packed: packed[:-8], lambda packed: packed + b"junk"])
def test_a_gzip_whose_end_is_damaged_gives_every_event(damage: Callable[[bytes], bytes]) -> None:
    events = [{"n": number} for number in range(20_000)]
    values, failures = read(damage(gzip.compress("\n".join(map(json.dumps, events)).encode())))
    assert (values, len(failures)) == (events, 1)


def test_bytes_that_are_not_utf_8_reach_the_event() -> None:
    values, failures = read(b'{"a": "\xff"}')
    assert (values, failures) == ([{"a": "\udcff"}], [])


def test_an_empty_file_has_no_events() -> None:
    assert read(b"") == read(b" \n\n") == read(b"[]") == read(b'{"Records": []}') == ([], [])
