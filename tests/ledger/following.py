"""The application behind its own connections in this process, and readers of its streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from src.config import AppSettings, DatabaseSettings
from src.ledger.config import LedgerSettings
from src.main import create_app
from src.settings import Settings
from src.web.connection import BoundedProtocol
from src.web.server_config import ServerConfig
from tests.application import ServerInProcess
from tests.ledger.conftest import LEDGER

CHANGES = f"{LEDGER}/changes"
STREAM = f"{CHANGES}/stream"
SEALING = LedgerSettings(ledger_interval=0.05)
# Whoever waits for a place or for an answer in vain is told soon.
LIMITS: dict[str, Any] = {
    "max_in_flight": 1,
    "max_waiting": 2,
    "place_timeout": 0.9,
    "request_timeout": 1,
    "request_body_timeout": 0.5,
}


@dataclass
class Served:
    port: int
    url: str
    server: ServerInProcess
    serving: asyncio.Task[None]


@asynccontextmanager
async def serve(database: DatabaseSettings, ledger: LedgerSettings = SEALING, **changes: Any) -> AsyncIterator[Served]:
    """Serve with a sealer, until the test or the end stops it: clients of a real server can leave, and it can stop."""
    settings = Settings.load(database, AppSettings(**changes), ledger)
    config = ServerConfig(
        create_app(settings), http=BoundedProtocol, port=0, log_config=None, access_log=False, ws="none"
    )
    config.settings = settings.app
    server = ServerInProcess(config)
    serving = asyncio.create_task(server.serve())
    await server.has_started.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(port, f"http://127.0.0.1:{port}", server, serving)
    server.should_exit = True
    await serving


def client_of(served: Served) -> httpx2.AsyncClient:
    """A client that keeps no connection open, for which the server would wait when it stops."""
    return httpx2.AsyncClient(
        base_url=served.url, timeout=30, headers={"Connection": "close"}, limits=httpx2.Limits(max_connections=None)
    )


@dataclass
class Event:
    """A block of a stream: what `data` holds is JSON."""

    id: int | None = None
    name: str | None = None
    data: Any = None
    comment: str | None = None


async def events(answer: httpx2.Response) -> AsyncIterator[Event]:
    """The blocks of a stream, comments too."""
    found = Event()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line:
            yield found
            found = Event()
        elif name == "id":
            found.id = int(value)
        elif name == "event":
            found.name = value
        elif name == "data":
            found.data = json.loads(value)
        else:
            assert name == ""
            found.comment = value


async def read_changes(blocks: AsyncIterator[Event], number: int) -> list[dict[str, Any]]:
    """The next changes of a stream."""
    found: list[dict[str, Any]] = []
    async for event in blocks:
        if event.data is not None:
            assert (event.name, event.id) == ("change", event.data["index"])
            found.append(event.data)
        if len(found) == number:
            break
    return found
