"""Load, from a process of its own: closed, where each connection asks again at once, or open, at a fixed rate.

A closed loop says how much can be done; only an open one says how long a caller waits, because its requests do not wait
for each other: each counts from the time at which it was due. Closed load comes from `wrk` where that is installed.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

import uvloop

from src.config import PROJECT_ROOT

# Of closed load; the open one is always Python's.
GENERATOR = "wrk" if shutil.which("wrk") else "python"
_PATIENCE_SECONDS = 10
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """`paths` in turn, each with `body` where there is one. With a `rate` (requests a second) the loop is open.

    The method is POST where there is a body, unless `method` says another.
    """

    port: int
    paths: Sequence[str]
    connections: int
    seconds: float
    body: str | None = None
    rate: int | None = None
    method: str | None = None
    if_match: str | None = None

    @property
    def verb(self) -> str:
        return self.method or ("POST" if self.body else "GET")

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json"} | ({"If-Match": self.if_match} if self.if_match else {})


@dataclass(frozen=True)
class Result:
    """`errors` are answers other than 2xx (`wrk` counts from 400 on), and requests without one. Latencies in ms."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p95: float
    p99: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def run(load: Load) -> Result:
    if load.rate is None and GENERATOR == "wrk":
        return _run_wrk(load)
    command = [sys.executable, "-m", "tests.benchmarks.load", json.dumps(asdict(load))]
    done = subprocess.run(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, check=True)
    return Result(**json.loads(done.stdout))


_SCRIPT = """
local paths, number = {%s}, 0
local headers = {%s}
request = function()
  number = number %% #paths + 1
  return wrk.format("%s", paths[number], headers, %s)
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests": %%d, "errors": %%d, "seconds": %%f, "p50": %%f, "p95": %%f, "p99": %%f}',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


def _run_wrk(load: Load) -> Result:
    paths = ", ".join(map(json.dumps, load.paths))
    headers = ", ".join(f"[{json.dumps(name)}] = [==[{value}]==]" for name, value in load.headers.items())
    script = _SCRIPT % (paths, headers, load.verb, f"[==[{load.body}]==]" if load.body else "nil")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds:g}s", "-s", file.name]
        done = subprocess.run([*command, f"http://127.0.0.1:{load.port}"], capture_output=True, check=True, text=True)
    return Result(**json.loads(done.stdout[done.stdout.rindex("{") :]))


class _Connection(asyncio.Protocol):
    """HTTP/1.1, one request at a time; knows as much of it as a benchmark needs."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> bool:
        """Whether the answer was a success."""
        self._received = b""
        self._answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and (length := _CONTENT_LENGTH.search(head)) and len(body) >= int(length[1]):
            self._answer.set_result(head.startswith(b"HTTP/1.1 2"))

    def connection_lost(self, _error: Exception | None) -> None:
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_result(False)


class _Generator:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.latencies: list[float] = []
        self.errors = 0
        self._requests = self._endless_requests()

    def _endless_requests(self) -> Iterator[bytes]:
        body = (self.load.body or "").encode()
        lines = [f"{name}: {value}" for name, value in self.load.headers.items()]
        rest = "\r\n".join(["", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *lines, "", ""])
        return cycle([f"{self.load.verb} {path} HTTP/1.1{rest}".encode() + body for path in self.load.paths])

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(_Connection, "127.0.0.1", self.load.port))[1]
            for _ in range(self.load.connections)
        ]
        started = time.perf_counter()
        if self.load.rate is None:
            await asyncio.gather(*(self._closed(connection, started) for connection in connections))
        else:
            await self._open(connections, started, self.load.rate)
        return self._result(time.perf_counter() - started)

    async def _closed(self, connection: _Connection, started: float) -> None:
        while (due := time.perf_counter()) < started + self.load.seconds:
            await self._ask(connection, due)

    async def _open(self, connections: list[_Connection], started: float, rate: int) -> None:
        free: asyncio.Queue[_Connection] = asyncio.Queue()
        for connection in connections:
            free.put_nowait(connection)

        async def ask(due: float) -> None:
            connection = await free.get()
            await self._ask(connection, due)
            free.put_nowait(connection)

        async with asyncio.TaskGroup() as tasks:
            for number in range(round(rate * self.load.seconds)):
                due = started + number / rate
                await asyncio.sleep(due - time.perf_counter())
                tasks.create_task(ask(due))

    async def _ask(self, connection: _Connection, due: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                succeeded = await connection.ask(next(self._requests))
        except TimeoutError:
            succeeded = False
        self.errors += not succeeded
        self.latencies.append((time.perf_counter() - due) * 1000)

    def _result(self, seconds: float) -> Result:
        ordered = sorted(self.latencies)
        p50, p95, p99 = (ordered[int(len(ordered) * share)] for share in (0.50, 0.95, 0.99))
        return Result(len(ordered), self.errors, seconds, p50, p95, p99)


if __name__ == "__main__":
    result = uvloop.run(_Generator(Load(**json.loads(sys.argv[1]))).run())
    sys.stdout.write(json.dumps(asdict(result)))
