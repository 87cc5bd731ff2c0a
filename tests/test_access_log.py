"""The access log is written once in each turn of the loop, in order with all other lines."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from logging.config import DictConfigurator
from typing import Any

import pytest

from src import log
from src.access_log import AccessLog, BatchingHandler
from src.config import PROJECT_ROOT
from src.log import logging_config


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written to the handler of the service's own configuration."""
    config, stream = logging_config("INFO", 1024), io.StringIO()
    formatter = DictConfigurator(config).configure_formatter(config["formatters"]["json"])
    handler = BatchingHandler(stream, config["handlers"]["stdout"]["max_line_bytes"])
    handler.setFormatter(formatter)
    handler.addFilter(log.RequestContextFilter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def write(number: int, path: str = "/") -> None:
    AccessLog(is_batched=True).write({"status": number, "path": path})


def lines(stream: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_lines_of_one_turn_are_written_when_the_next_begins(stream: io.StringIO) -> None:
    write(1)
    write(2)
    assert lines(stream) == []
    await asyncio.sleep(0)
    assert [line["status"] for line in lines(stream)] == [1, 2]


async def test_any_other_line_comes_after_those_of_requests_that_ended_before_it(stream: io.StringIO) -> None:
    write(1)
    logging.getLogger("src.other").warning("between")
    write(2)
    logging.shutdown([lambda: root_handler()])
    assert [line.get("status", line["message"]) for line in lines(stream)] == [1, "between", 2]


def root_handler() -> logging.Handler:
    return next(handler for handler in logging.getLogger().handlers if isinstance(handler, BatchingHandler))


async def test_a_line_is_the_one_that_logging_would_write(stream: io.StringIO) -> None:
    log.request_id.set("r-1")
    log.trace_id.set("t-1")
    write(200, "/ä\n")
    await asyncio.sleep(0)
    batched = stream.getvalue()
    AccessLog(is_batched=False).write({"status": 200, "path": "/ä\n"})
    logged = stream.getvalue().removeprefix(batched)
    one, other = json.loads(batched), json.loads(logged)
    assert one.pop("timestamp") <= other.pop("timestamp")
    assert list(one.items()) == list(other.items())


def test_the_lines_of_several_workers_are_never_mixed() -> None:
    program = """
import asyncio, logging.config, sys
from src.access_log import AccessLog
from src.log import logging_config
logging.config.dictConfig(logging_config("INFO"))
async def main():
    log = AccessLog(is_batched=True)
    sys.stdin.readline()
    for _ in range(100):
        for number in range(40):
            log.write({"worker": sys.argv[1], "path": "/" + "a" * 150})
        await asyncio.sleep(0)
asyncio.run(main())
"""
    read, written = os.pipe()
    workers = [
        subprocess.Popen([sys.executable, "-c", program, name], stdin=subprocess.PIPE, stdout=written, cwd=PROJECT_ROOT)
        for name in "ab"
    ]
    os.close(written)
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(b"\n")
        worker.stdin.close()
    received = bytearray()
    # A piece that is no line, so that writers find the pipe nearly full.
    while piece := os.read(read, 1000):
        received += piece
    os.close(read)
    assert [worker.wait() for worker in workers] == [0, 0]
    assert Counter(json.loads(line)["worker"] for line in received.splitlines()) == {"a": 4_000, "b": 4_000}


async def test_a_long_line_is_cut(stream: io.StringIO) -> None:
    write(200, "/" + "a" * 5_000)
    await asyncio.sleep(0)
    assert len(stream.getvalue()) <= 1024
    assert "characters left out" in lines(stream)[0]["path"]


async def test_no_line_is_made_above_its_level(stream: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.WARNING)
    write(200)
    await asyncio.sleep(0)
    assert stream.getvalue() == ""


async def test_nothing_fails_when_nobody_reads_the_log_any_more() -> None:
    read, written = os.pipe()
    os.close(read)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    handler = BatchingHandler(os.fdopen(written, "w"), 1024)
    handler.write_soon("a line\n")
    await asyncio.sleep(0)
    handler.write_soon("another line\n")
    handler.handle(logging.makeLogRecord({"msg": "between"}))
    await asyncio.sleep(0)
    assert failures == []
    with suppress(BrokenPipeError):
        handler.stream.close()
