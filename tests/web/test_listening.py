"""How connections are accepted, and how several workers share them."""

import os
import re
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.application import Server, run_server
from tests.web.test_server import UNREACHABLE
from tests.wire import connect, head

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="connections of a process are read from /proc")

STARTED = "Application startup complete"
_ESTABLISHED = "01"


class Workers:
    """A server of two workers, and the connections that clients keep to it."""

    def __init__(self, server: Server, clients: AsyncExitStack) -> None:
        self.server, self.clients = server, clients

    @property
    def pids(self) -> list[int]:
        """The newest two."""
        return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", "".join(self.server.lines))][-2:]

    def connections(self) -> list[int]:
        return [_connections_of(pid, int(self.server.url.rpartition(":")[2])) for pid in self.pids]

    async def connect(self, number: int) -> None:
        """Connect one after the other, and keep what is answered."""
        for _ in range(number):
            client = await self.clients.enter_async_context(connect(self.server.url))
            await client.send(head("GET", "/health/live"))
            assert (await client.answer()).status == 200


def _connections_of(pid: int, port: int) -> int:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{line[9]}]" for line in lines if line[3] == _ESTABLISHED and line[1].endswith(f":{port:04X}")}
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return len(ours & found)


async def test_workers_have_equal_shares_of_connections_after_one_has_hung_or_was_killed() -> None:
    async with run_server(UNREACHABLE, WORKERS="2") as server, AsyncExitStack() as clients:
        workers = Workers(server, clients)
        await server.line(STARTED, number=2)

        # Whoever is awake takes all that come; when the other one is awake again, it gets the next.
        hung = workers.pids[1]
        os.kill(hung, signal.SIGSTOP)
        await workers.connect(16)
        assert workers.connections() == [16, 0]
        os.kill(hung, signal.SIGCONT)
        while not workers.connections()[1]:
            await workers.connect(1)
        before = workers.connections()[0]
        await workers.connect(before - 1)
        assert max(workers.connections()) <= before + 2

        killed = workers.pids[0]
        os.kill(killed, signal.SIGKILL)
        await server.line(STARTED, number=3)
        left, none = workers.connections()
        assert none == 0
        await workers.connect(left)
        assert max(workers.connections()) <= left + 2
