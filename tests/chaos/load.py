"""Load on a server from another process, so that it takes no time from the process that measures.

`python -m tests.chaos.load URL` reads its orders as JSON from stdin, and writes its report as JSON to stdout.
"""

import asyncio
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from src.config import PROJECT_ROOT
from tests.wire import head

FAILED = 0
"""The status that stands for a connection that ended, or was refused, before an answer."""


@dataclass(frozen=True)
class Orders:
    """The requests that each connection repeats in turn: method, path, and the body or None."""

    requests: list[tuple[str, str, Any]]
    connections: int
    seconds: float


@dataclass
class Report:
    seconds: float
    latencies: dict[int, list[float]]
    """The time of every answer in milliseconds, by status."""

    def count(self, status: int) -> int:
        return len(self.latencies.get(status, []))

    def percentile(self, status: int, share: float) -> float:
        ordered = sorted(self.latencies[status])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def summary(self) -> str:
        return f"{'; '.join(map(self._of_status, sorted(self.latencies)))} in {self.seconds:.1f} s"

    def _of_status(self, status: int) -> str:
        median, slow = (self.percentile(status, share) for share in (0.5, 0.99))
        return f"{status}: {self.count(status)} (p50 {median:.0f}, p99 {slow:.0f} ms)"


class Load:
    def __init__(self, url: str, orders: Orders) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.address = host, int(port)
        self.end = time.perf_counter() + orders.seconds
        self.connections = orders.connections
        self.messages = [_message(*request) for request in orders.requests]
        self.latencies: dict[int, list[float]] = defaultdict(list)

    async def run(self) -> Report:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        started = time.perf_counter()
        await asyncio.gather(*(self._user(number) for number in range(self.connections)))
        return Report(time.perf_counter() - started, dict(self.latencies))

    def _stop(self) -> None:
        self.end = 0

    async def _user(self, number: int) -> None:
        """Send one request after the other, on one connection as long as the server keeps it open."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.perf_counter() < self.end:
            number += 1
            message = self.messages[number % len(self.messages)]
            started = time.perf_counter()
            status, keeps = FAILED, False
            try:
                connection = connection or await asyncio.open_connection(*self.address)
                status, keeps = await _exchange(*connection, message)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)
            self.latencies[status].append((time.perf_counter() - started) * 1000)
            if not keeps and connection:
                connection[1].close()
                connection = None


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> tuple[int, bool]:
    writer.write(message)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(answer.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(answer[9:12]), b"\r\nconnection: close" not in answer


def _message(method: str, path: str, body: Any) -> bytes:
    if body is None:
        return head(method, path)
    data = json.dumps(body).encode()
    return head(method, path, "Content-Type: application/json", f"Content-Length: {len(data)}") + data


class Running:
    """Load that is running in another process."""

    def __init__(self, process: asyncio.subprocess.Process, orders: Orders) -> None:
        self._process = process
        self._output = asyncio.create_task(process.communicate(json.dumps(asdict(orders)).encode()))

    async def report(self) -> Report:
        """Wait for the end of its time."""
        output, _ = await self._output
        seconds, latencies = json.loads(output)
        return Report(seconds, {int(status): found for status, found in latencies.items()})

    async def stop(self) -> Report:
        """Stop now, after the answers of the requests in progress."""
        self._process.terminate()
        return await self.report()


@asynccontextmanager
async def load(url: str, orders: Orders) -> AsyncIterator[Running]:
    command = (sys.executable, "-m", "tests.chaos.load", url)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT_ROOT, stdin=pipe, stdout=pipe)
    running = Running(process, orders)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> None:
    orders = Orders(**json.load(sys.stdin))
    report = asyncio.run(Load(sys.argv[1], orders).run())
    json.dump([report.seconds, report.latencies], sys.stdout)


if __name__ == "__main__":
    main()
