"""The access log: one line for each request, written once in each turn of the event loop.

What it does: `AccessLog.write` makes the line that logging would make. `BatchingHandler` writes the lines of one turn
together, before any other line, and before the process ends. A kill loses the lines of that turn and no more.

Why: a record, a filter, a formatter and a system call for each request take time (tests/benchmarks/README.md).

To switch it off: leave `batched-log` out of `FAST_PATHS`. Then each line goes through logging.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from select import PIPE_BUF
from typing import Any

import orjson
from typing_extensions import override

from src import clock, log
from src.log_lines import to_line


class BatchingHandler(logging.StreamHandler[Any]):
    """Writes lines to a stream in their order. Lines of `write_soon` are written together, once in each turn."""

    def __init__(self, stream: Any, max_line_bytes: int) -> None:
        super().__init__(stream)
        self.max_line_bytes = max_line_bytes
        self._lines: list[str] = []

    def write_soon(self, line: str) -> None:
        """Write the line when the event loop begins its next turn, or before another line that comes earlier."""
        self.acquire()
        try:
            if not self._lines:
                asyncio.get_running_loop().call_soon(self.flush)
            self._lines.append(line)
        finally:
            self.release()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._lines:
            self.flush()
        super().emit(record)

    @override
    def flush(self) -> None:
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            # If nobody reads the log any more, the service goes on.
            with suppress(OSError):
                for piece in _pieces(lines):
                    self.stream.write(piece)
                    self.stream.flush()
                super().flush()
        finally:
            self.release()


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    """Join whole lines of ASCII to pieces that a pipe takes as a whole (PIPE_BUF in pipe(7)).

    Workers share one pipe, which can mix longer pieces. A line that is longer is a piece of its own.
    """
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > PIPE_BUF:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield "".join(piece)


class AccessLog:
    """Writes a line for each request that has ended."""

    def __init__(self, *, is_batched: bool) -> None:
        self._logger = logging.getLogger("src.access")
        handlers = logging.getLogger().handlers if is_batched else []
        self._handler = next((each for each in handlers if isinstance(each, BatchingHandler)), None)

    def write(self, fields: Mapping[str, Any]) -> None:
        """Write a line with these fields and the fields that every line has."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if self._handler:
            self._handler.write_soon(_to_line(fields, self._handler.max_line_bytes))
        else:
            self._logger.info("request", extra=fields)


def _to_line(fields: Mapping[str, Any], max_bytes: int) -> str:
    """The same line as the handler's formatter writes."""
    now = clock.now()
    record = {
        "timestamp": now,
        "level": "INFO",
        "logger": "src.access",
        "message": "request",
        "request_id": log.request_id.get(),
        "trace_id": log.trace_id.get(),
        **fields,
    }
    with suppress(orjson.JSONEncodeError):
        # `to_line` would write the same, but it takes longer (tests/benchmarks/README.md).
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        if len(line) <= max_bytes and line.isascii():
            return line.decode()
    return f"{to_line(record | {'timestamp': now.isoformat()}, max_bytes)}\n"
