"""Runs the application under test, in this process or as the server that is deployed."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from socket import socket
from typing import Any

import httpx2
import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings, EnvironmentSettings
from src.ledger.config import LedgerSettings
from src.main import create_app, lifespan
from src.settings import Settings
from tests import programs

HAS_PROC = Path("/proc/self/statm").exists()

NO_DATABASE = DatabaseSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))

Log = list[dict[str, Any]]


@asynccontextmanager
async def run_application(
    *settings: EnvironmentSettings, routers: Sequence[APIRouter] = ()
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application in this process, with its lifespan and additional `routers`, and yield a client of it.

    Settings that are not given have long timeouts: on a busy machine a hundred requests wait longer for their places.
    And the ledger is sealed only where a test asks for it.
    """
    loaded = Settings.load(*settings, *_usual_settings())
    app = create_app(loaded) if routers else _application(loaded.app)
    for router in routers:
        app.include_router(router)
    async with (
        lifespan(loaded) as state,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(with_state(app, state)), base_url="http://testserver"
        ) as client,
    ):
        yield client


def with_state(app: FastAPI, state: Any) -> ASGIApp:
    """Give each request the state that the lifespan yielded. uvicorn does this, but `ASGITransport` does not."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return answer


@cache
def _usual_settings() -> tuple[EnvironmentSettings, ...]:
    """Read the settings only once: it takes a sixth of the start of an application, and tests start a thousand."""
    return AppSettings(place_timeout=5), AuditSettings(), AISettings(), LedgerSettings(ledger_interval=3600)


@cache
def _application(settings: AppSettings) -> FastAPI:
    """One for all tests with these `AppSettings`: what else differs between them is in the state of each.

    FastAPI takes 50 ms to work out the routes of an application, and tests start hundreds.
    """
    return create_app(Settings.load(settings, NO_DATABASE, *_usual_settings()))


class ServerInProcess(uvicorn.Server):
    """uvicorn in this process. Its clients can leave, as those of `ASGITransport` cannot."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()


class Server:
    """`python -m src` in a process of its own, and the lines that it has written so far."""

    def __init__(self, process: programs.Program) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""
        self._written = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            async with self._written:
                self.lines.append(line.decode())
                self._written.notify_all()

    async def line(self, pattern: str, seconds: float = 60, *, number: int = 1) -> re.Match[str]:
        """Wait for the line with this number in which `pattern` is found. Raises `TimeoutError` after `seconds`."""
        found: re.Match[str] | None = None

        def is_there() -> bool:
            nonlocal found
            matches = filter(None, (re.search(pattern, line) for line in self.lines))
            found = next(islice(matches, number - 1, None), None)
            return found is not None

        async with asyncio.timeout(seconds), self._written:
            await self._written.wait_for(is_there)
        assert found
        return found

    async def ended(self) -> None:
        """Wait until no process that could write is left."""
        await self._reading

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            await self._reading
            return await self.process.wait()

    def resident_bytes(self) -> int:
        """The resident memory, from Linux's /proc."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def tracebacks(self) -> str:
        """The tracebacks in the log."""
        return "\n".join(line["exc_info"] for line in self.log() if "exc_info" in line)

    def log(self) -> Log:
        """All lines so far. Raises `ValueError` if one is not a JSON object."""
        return [json.loads(line) for line in self.lines]


@asynccontextmanager
async def run_server(database_url: str, **environment: str) -> AsyncIterator[Server]:
    """Run the server on a free port, and stop it at the end."""
    server = Server(await start_server_process(database_url, **environment))
    try:
        await server.line("Application startup complete")
        server.url = (await server.line(r"listening on (http://[^\"]+)"))[1]
        yield server
    finally:
        await server.stop()


async def start_server_process(database_url: str, **environment: str) -> programs.Program:
    return await programs.start("src", **{"PORT": "0", "DATABASE_URL": database_url} | environment)
