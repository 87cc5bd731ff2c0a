"""The items of a batch: of a JSON object `{"items": [...]}`, or of NDJSON, in which each line is an item.

An item that is not JSON is named by its place. `SeparateItems` are accepted or refused one by one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from src import json_parser
from src.exceptions import MAX_ERRORS_PER_ITEM, MalformedJSON, ValidationFailed

MAX_ITEMS = 1_000

_LINE_BREAK = b"\n"
# A line that is not blank. It may end with a carriage return, which is a blank of JSON.
_LINE = re.compile(rb"[^ \t\r\n][^\n]*+")

# RFC 8259, 2. Values are found with a decoder that takes more than we do, such as NaN and lone surrogates.
_BLANKS = r"[ \t\n\r]*+"
_BEFORE_ITEMS = re.compile(rf'{_BLANKS}\{{{_BLANKS}"items"{_BLANKS}:{_BLANKS}\[{_BLANKS}')
_BETWEEN_ITEMS = re.compile(rf"{_BLANKS},{_BLANKS}")
_AFTER_ITEMS = re.compile(rf"{_BLANKS}\]{_BLANKS}\}}{_BLANKS}")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
# Brackets outside of strings: as many of one kind as follow each other.
_BRACKETS = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[{]++|[\]}]++)', re.DOTALL)


class BatchMode(StrEnum):
    # All items or none.
    ATOMIC = "atomic"
    # Each item that is valid.
    PARTIAL = "partial"


@dataclass(frozen=True)
class SeparateItems:
    """Each item's value, or the error that refuses it; and the texts of those that have no value, by their index."""

    items: Sequence[Any]
    texts: dict[int, bytes]

    @property
    def payload(self) -> dict[str, Any]:
        """A JSON value that is the same for the same items, and another for other items or a batch of another mode."""
        return {
            "mode": BatchMode.PARTIAL,
            "items": [None if index in self.texts else item for index, item in enumerate(self.items)],
            "texts": {str(index): hashlib.sha256(text).hexdigest() for index, text in self.texts.items()},
        }


def parse(body: bytes, *, is_lines: bool, is_partial: bool) -> Any:
    """The value of the body, `{"items": [...]}` if it is a batch; `SeparateItems` of a batch that is partial.

    Raises `MalformedJSON` and `ValidationFailed`, which name each item by its index, and the first line by its number.
    """
    if is_lines:
        return _parse_lines(body, is_partial=is_partial)
    try:
        value = json_parser.parse(body)
        json_parser.refuse_crowded_objects(value)
    except (MalformedJSON, ValidationFailed) as error:
        return _parse_items(body, error, is_partial=is_partial)
    if is_partial and isinstance(value, dict) and value.keys() == {"items"} and isinstance(value["items"], list):
        return SeparateItems(value["items"], {})
    return value


def _parse_lines(body: bytes, *, is_partial: bool) -> Any:
    json_parser.check_value_count(body)
    lines = list(islice(_LINE.finditer(body), MAX_ITEMS + 1))
    if len(lines) > MAX_ITEMS:
        message = f"Must have at most {MAX_ITEMS} lines that are not empty"
        raise ValidationFailed([{"loc": ["body", "items"], "msg": message, "type": "too_long"}])
    items = _parse_each([line[0] for line in lines])
    if is_partial:
        return items
    return _all_of(items, lambda index: f"Line {1 + body.count(_LINE_BREAK, 0, lines[index].start())}")


def _parse_items(body: bytes, error: MalformedJSON | ValidationFailed, *, is_partial: bool) -> Any:
    """Find the items of a JSON object that is refused as a whole, and parse each. Raises `error` if that is no help."""
    json_parser.check_value_count(body)
    texts = _split_items(body) if is_partial or not _names_items(error) else []
    items = _parse_each(texts)
    if not items.texts:
        raise error
    return items if is_partial else _all_of(items, lambda index: f"items[{index}]")


def _names_items(error: MalformedJSON | ValidationFailed) -> bool:
    return isinstance(error, ValidationFailed) and all(len(each["loc"]) > 1 for each in error.extensions["errors"])


def _parse_each(texts: Sequence[bytes]) -> SeparateItems:
    items: list[Any] = []
    refused: dict[int, bytes] = {}
    for text in texts:
        try:
            item = json_parser.parse(text)
            json_parser.refuse_crowded_objects(item)
        except (MalformedJSON, ValidationFailed) as error:
            refused[len(items)] = text
            items.append(error)
        else:
            items.append(item)
    return SeparateItems(items, refused)


def _all_of(parsed: SeparateItems, name: Callable[[int], str]) -> dict[str, Any]:
    """All items. If one is refused, raises what refuses the batch: `name` gives the words for an item's index."""
    refused = [(index, parsed.items[index]) for index in parsed.texts]
    malformed = [(index, error.detail) for index, error in refused if isinstance(error, MalformedJSON)]
    if malformed:
        (first, detail), *_ = malformed
        errors = [_error([index], detail, "malformed_json") for index, detail in malformed]
        raise MalformedJSON(f"{name(first)}: {detail}", errors=errors)
    if refused:
        errors = [
            _error([index, *error["loc"][1:]], error["msg"], error["type"])
            for index, refusal in refused
            for error in refusal.extensions["errors"][:MAX_ERRORS_PER_ITEM]
        ]
        raise ValidationFailed(errors, count=sum(len(refusal.extensions["errors"]) for _, refusal in refused))
    return {"items": parsed.items}


def _error(location: list[str | int], message: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", "items", *location], "msg": message, "type": kind}


def _split_items(body: bytes) -> list[bytes]:
    """The text of each item; an empty list if the body is not JSON, or is more than a list of items."""
    try:
        return [item.encode() for item in _values(body.decode())]
    except ValueError:
        return []


def _values(text: str) -> Iterator[str]:
    """The text of each item of `{"items": [...]}`. Raises `ValueError` if the text is anything else."""
    found = _BEFORE_ITEMS.match(text)
    end = 0
    while found:
        end = _end_of_value(text, found.end())
        yield text[found.end() : end]
        found = _BETWEEN_ITEMS.match(text, end)
    if not _AFTER_ITEMS.fullmatch(text, end):
        raise ValueError


def _end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends. Raises `ValueError` if there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except RecursionError:
        return _end_of_brackets(text, start)


def _end_of_brackets(text: str, start: int) -> int:
    """The end of a value that is too deep for the decoder. Raises `ValueError`."""
    depth, end = 0, start
    while found := _BRACKETS.match(text, end):
        end, brackets = found.end(), found[1]
        if brackets[0] in "[{":
            depth += len(brackets)
        elif depth > len(brackets):
            depth -= len(brackets)
        else:
            return end - len(brackets) + depth
    raise ValueError
