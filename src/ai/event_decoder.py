"""Decodes server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.

The SDK's own decoder takes each line and each event through a generator and a model; this one takes 2 us
(tests/benchmarks/README.md).
"""

import json
import re

BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"\n\n+")
_DATA = re.compile(rb"^data:[ ]?(.*)", re.MULTILINE)
_IS_ERROR = re.compile(rb"^event:[ ]?error$", re.MULTILINE)


class EventDecoder:
    """Takes the bytes of a stream as they arrive. Comments, names, ids and events without data are skipped.

    An event `error` whose data is no object becomes one with this data as its message.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._ended_with_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of each event that `chunk` completes."""
        rest = self._rest
        searched = max(0, len(rest) - 1)
        rest += self._with_line_feeds(chunk)
        end = rest.rfind(b"\n\n", searched)
        if end < 0:
            return []
        complete = bytes(rest[:end]).removeprefix(BOM)
        del rest[: end + 2]
        return [data for block in _BLANK_LINES.split(complete) if (data := _data(block))]

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """Replace CR and CRLF, each of which ends a line too. `chunk` is not empty."""
        ends_with_cr = chunk.endswith(b"\r")
        if self._ended_with_cr:
            chunk = chunk.removeprefix(b"\n")
        self._ended_with_cr = ends_with_cr
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in chunk else chunk


def _data(block: bytes) -> bytes:
    lines: list[bytes] = _DATA.findall(block)
    data = lines[0] if len(lines) == 1 else b"\n".join(lines)
    if data and not data.startswith(b"{") and _IS_ERROR.search(block):
        return json.dumps({"type": "error", "message": data.decode(errors="replace")}).encode()
    return data
