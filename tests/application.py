"""The application under test, in this process or as the server that is deployed."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import PROJECT_ROOT, AppSettings, EnvironmentSettings
from src.main import create_app
from src.settings import Settings

TELLS_MEMORY = Path("/proc/self/statm").exists()

Log = list[dict[str, Any]]


@asynccontextmanager
async def run_application(
    *settings: EnvironmentSettings, routers: Sequence[APIRouter] = ()
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application in this process, its lifespan included; `routers` are added to its own.

    With patience, unless its settings are given: on a busy machine a hundred requests wait longer for their places.
    """
    app = create_app(Settings.load(*settings, *_usual_settings()))
    for router in routers:
        app.include_router(router)
    async with (
        app.router.lifespan_context(app) as state,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(with_state(app, state)), base_url="http://testserver"
        ) as client,
    ):
        yield client


def with_state(app: FastAPI, state: Any) -> ASGIApp:
    """As uvicorn does, which `ASGITransport` does not: each request has what the lifespan has yielded."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return answer


@cache
def _usual_settings() -> tuple[EnvironmentSettings, ...]:
    """Read once: of what each of a thousand applications takes to start, it is a sixth."""
    return AppSettings(place_timeout=5), AuditSettings(), AISettings()


class Server:
    """`python -m src` in a process of its own, and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
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

    async def line(self, pattern: str, patience: float = 20) -> re.Match[str]:
        """Returns when it has written a line that `pattern` is found in."""
        found: re.Match[str] | None = None

        def is_there() -> bool:
            nonlocal found
            found = next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
            return found is not None

        async with asyncio.timeout(patience), self._written:
            await self._written.wait_for(is_there)
        assert found
        return found

    async def ended(self) -> None:
        """Returns when no process of it is left that could write."""
        await self._reading

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            await self._reading
            return await self.process.wait()

    def resident_bytes(self) -> int:
        """Memory, as Linux tells it."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def tracebacks(self) -> str:
        """Of all that it did not foresee."""
        return "\n".join(line["exc_info"] for line in self.log() if "exc_info" in line)

    def log(self) -> Log:
        """Every line it has written, each of which must be one JSON object."""
        return [json.loads(line) for line in self.lines]


@asynccontextmanager
async def run_server(database_url: str, **environment: str) -> AsyncIterator[Server]:
    """The server on a free port, stopped at the end."""
    server = Server(await start_server_process(database_url, **environment))
    try:
        await server.line("Application startup complete")
        server.url = (await server.line(r"listening on (http://[^\"]+)"))[1]
        yield server
    finally:
        await server.stop()


async def start_server_process(database_url: str | None, **environment: str) -> asyncio.subprocess.Process:
    variables = {**os.environ, "PORT": "0", **environment}
    if database_url is not None:
        variables["DATABASE_URL"] = database_url
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "src",
        cwd=PROJECT_ROOT,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
