"""Finds the events of a file, whichever way it holds them, in constant memory.

A file holds JSON values one after the other, with or without line breaks between them (so NDJSON is one case), arrays
of them, or an envelope: an object such as CloudTrail's `{"Records": [...]}`.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, BinaryIO, NoReturn, cast

_CHUNK_BYTES = 256 * 1024
_MAX_VALUE_CHARACTERS = 32 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_BETWEEN = re.compile(r"[\s,]*")
_COLON = re.compile(r"\s*:\s*")
_NEXT_VALUE = re.compile(r"\n(?=[\[{])")
# A value that the envelope's list may come behind: text, a number or word, or a flat object.
_SIMPLE = r"""(?:"[^"\\]*"|[-+.\w]+|\{(?:[^{}"]|"[^"\\]*")*\})"""
# How far an envelope's list may be from its beginning.
_ENVELOPE_HEAD = 8_192

# `JSONDecodeError.pos` may be so far before the end of a text that only lacks its rest: `\uD83D\uDE0`.
_CUT_TOKEN = 12

Decode = Callable[[str, int], tuple[Any, int]]
"""Returns the value that begins at a position of a text, and the position behind it. Raises `JSONDecodeError`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event was: `line` is that of its first character, `number` counts the file's events."""

    file: str
    line: int
    number: int


class Unreadable(Exception):
    """What is at `Reader.place` is not JSON."""


def unpacked(file: BinaryIO) -> io.BufferedIOBase:
    """The file, unpacked if it is gzip."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    if buffered.peek(2)[:2] == _GZIP_MAGIC:
        return gzip.GzipFile(fileobj=buffered)
    return buffered


class Reader:
    """Iterates over the values of a file. `place` is where the last one was.

    `next()` raises `Unreadable` for what is not JSON. It can be called again, and goes on with the next line that
    begins a value.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, envelopes: Collection[str], decode: Decode) -> None:
        self._file, self._decode = file, decode
        self._envelope = _envelope_pattern(envelopes) if envelopes else None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._text, self._at, self._ended = "", 0, False
        # Why the rest of the file cannot be read.
        self._error = ""
        # What is open around the next value: "[" an array, "{" an envelope before its list ends, "}" behind that.
        self._around: list[str] = []
        self._line, self._counted = 1, 0
        self.place = Place(name, 1, 0)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while self._skip_to_value():
            match self._text[self._at]:
                case "[":
                    self._around.append("[")
                    self._at += 1
                case "]" | "}" as closed:
                    self._close(closed)
                case _ if self._around and self._around[-1] == "}":
                    self._skip_member()
                case _ if self._enter_envelope():
                    pass
                case _:
                    self._mark_place()
                    return self._value()
        if self._error:
            self._mark_place()
        self._raise_error()
        if self._around:
            self._around.clear()
            self._mark_place()
            raise Unreadable("The file ends in the middle of an array.")
        raise StopIteration

    def _mark_place(self) -> None:
        self._count_lines()
        self.place = Place(self.place.file, self._line, self.place.number + 1)

    def _skip_to_value(self) -> bool:
        """Go to the next character that is no blank and no comma. Returns whether there is one."""
        while True:
            self._at = cast("re.Match[str]", _BETWEEN.match(self._text, self._at)).end()
            if self._at < len(self._text):
                return True
            if not self._read_on():
                return False

    def _close(self, closed: str) -> None:
        around = self._around.pop() if self._around else ""
        self._at += 1
        if around == "{" and closed == "]":
            self._around.append("}")
        elif (around, closed) not in (("[", "]"), ("}", "}")):
            self._mark_place()
            self._fail(f"{closed} closes nothing")

    def _enter_envelope(self) -> bool:
        """Go into the list of an envelope, if one begins here."""
        if not self._envelope or self._text[self._at] != "{" or "{" in self._around:
            return False
        while len(self._text) - self._at < _ENVELOPE_HEAD and self._read_on():
            pass
        if not (head := self._envelope.match(self._text, self._at)):
            return False
        self._around.append("{")
        self._at = head.end()
        return True

    def _skip_member(self) -> None:
        """Skip a member of an envelope behind its list."""
        self._value()
        while not (colon := _COLON.match(self._text, self._at)) or colon.end() == len(self._text):
            if not self._read_on():
                self._fail("a member has no value")
        self._at = colon.end()
        self._value()

    def _value(self) -> Any:
        while True:
            try:
                value, self._at = self._decode(self._text, self._at)
            except JSONDecodeError as error:
                problem, position = error.msg, len(self._text) if error.msg.startswith("Unterminated") else error.pos
            except RecursionError:
                self._fail("it is nested too deeply")
            else:
                return value
            if position < len(self._text) - _CUT_TOKEN or not self._read_on():
                self._fail(problem)

    def _read_on(self) -> bool:
        """Read more. It drops what was used, and reads as much again as there is of a value that is still incomplete.

        Returns False at the end of what can be read.
        """
        if self._ended:
            return False
        self._count_lines()
        kept = self._text[self._at :]
        if len(kept) > _MAX_VALUE_CHARACTERS:
            self._fail(f"it is longer than {_MAX_VALUE_CHARACTERS} characters")
        data = self._read(max(_CHUNK_BYTES, len(kept)))
        self._decoder = self._decoder or _text_decoder(data)
        self._ended = not data
        self._text = kept + self._decoder.decode(data, self._ended)
        self._at = self._counted = 0
        return True

    def _read(self, size: int) -> bytes:
        """Read `size` bytes, or what comes before the end or an error, such as that of a gzip file that is cut off.

        `read1`, because `GzipFile.read` drops what it has unpacked before the error.
        """
        pieces: list[bytes] = []
        try:
            while not self._error and size > 0 and (piece := self._file.read1(size)):
                pieces.append(piece)
                size -= len(piece)
        except (OSError, EOFError, zlib.error) as error:
            self._error = str(error)
        return b"".join(pieces)

    def _raise_error(self) -> None:
        """Raise `Unreadable`, once, if the rest of the file cannot be read."""
        error, self._error = self._error, ""
        if error:
            self._around.clear()
            raise Unreadable(f"The rest of the file cannot be read: {error}")

    def _fail(self, problem: str) -> NoReturn:
        """Go to the next line that begins a value, and raise `Unreadable`."""
        begin = self._text[self._at : self._at + 60]
        while not (found := _NEXT_VALUE.search(self._text, self._at)):
            self._at = max(self._at, len(self._text) - 1)
            if not self._read_on():
                break
        self._at = found.end() if found else len(self._text)
        if not found:
            self._around.clear()
            self._raise_error()
        raise Unreadable(f"Not JSON: {problem}: {begin!r}")

    def _count_lines(self) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at


def _text_decoder(head: bytes) -> codecs.IncrementalDecoder:
    """For UTF-8, or UTF-16 with its byte order mark. Other bytes become lone surrogates, which `details` replaces."""
    name = "utf-16" if head.startswith(_UTF16_MARKS) else "utf-8-sig"
    return codecs.getincrementaldecoder(name)(errors="surrogateescape" if name == "utf-8-sig" else "replace")


def _envelope_pattern(names: Collection[str]) -> re.Pattern[str]:
    """Finds the list of an envelope behind simple members: `{"kind": "EventList", "items": [`."""
    alternatives = "|".join(map(re.escape, names))
    return re.compile(rf'\{{\s*(?:"[^"\\]*"\s*:\s*{_SIMPLE}\s*,\s*)*?"(?:{alternatives})"\s*:\s*\[')
