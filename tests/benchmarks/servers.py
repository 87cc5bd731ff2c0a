"""The servers that are measured, each a process of its own, and what the operating system says of them."""

import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Self

from src.config import API_PREFIX, PROJECT_ROOT

logger = logging.getLogger(__name__)

AUDITS = f"{API_PREFIX}/audits"
_START_SECONDS = _STOP_SECONDS = 30
# How often a process that is limited is looked at.
_LOOK_SECONDS = 0.005
_NANOSECONDS = 1e9


def driver_url(url: str) -> str:
    return url.replace("+asyncpg", "")


class Server:
    """A running server; `processes` are those that answer."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], seconds_to_first_answer: float) -> None:
        self.port, self.process = port, process
        self.seconds_to_first_answer = seconds_to_first_answer

    @property
    def processes(self) -> list[int]:
        """The process itself, or its workers (beside the tracker of multiprocessing, which does nothing)."""
        pid = self.process.pid
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        workers = [
            child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        return workers or [pid]

    def cpu_seconds(self) -> float:
        """User and system time of all threads so far, as the scheduler has counted it."""
        return sum(self.cpu_seconds_each())

    def cpu_seconds_each(self) -> list[float]:
        """The same of each process that answers."""
        return [cpu_seconds_of(pid) for pid in self.processes]

    def memory_mb(self, kind: str = "VmRSS") -> float:
        """Of the largest process; `VmHWM` is the most it ever had."""
        return max(_status_kb(pid, kind) for pid in self.processes) / 1024


def cpu_seconds_of(pid: int) -> float:
    """User and system time of all threads of a process so far."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / _NANOSECONDS


def postgres_seconds(database: str) -> float:
    """The same of all PostgreSQL's backends that serve this database now."""
    seconds = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(f"postgres: app {database} ".encode()):
                seconds += cpu_seconds_of(int(process.name))
    return seconds


@contextmanager
def limited_to(share: float, pids: Sequence[int]) -> Iterator[None]:
    """Let each process have `share` of a core: it is stopped as often and as long as it has had more.

    It needs no rights over control groups, and nothing that has to be installed.
    """
    is_over = Event()

    def limit(pid: int) -> None:
        started, before = time.monotonic(), cpu_seconds_of(pid)
        while not is_over.wait(_LOOK_SECONDS):
            too_much = cpu_seconds_of(pid) - before - share * (time.monotonic() - started)
            if too_much > 0:
                os.kill(pid, signal.SIGSTOP)
                is_over.wait(too_much / share)
                os.kill(pid, signal.SIGCONT)

    with ThreadPoolExecutor(len(pids)) as threads:
        limits = [threads.submit(limit, pid) for pid in pids]
        try:
            yield
        finally:
            is_over.set()
            for limited in limits:
                limited.result()


def _status_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@dataclass(frozen=True)
class Program:
    """What is started, and in which folder."""

    command: Sequence[str]
    folder: Path = PROJECT_ROOT

    @classmethod
    def of_module(cls, module: str, folder: Path = PROJECT_ROOT) -> Self:
        return cls((sys.executable, "-m", module), folder)


@contextmanager
def serve(program: Program, database_url: str, log: Path, *, workers: int = 1, **variables: str) -> Iterator[Server]:
    """The program in its production form, with its log in a file."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    # Nothing of the caller's: what is measured is what is deployed.
    environment = {
        "DATABASE_URL": database_url,
        "ENVIRONMENT": "production",
        "HOST": "127.0.0.1",
        "LOG_LEVEL": "INFO",
        "PORT": str(port),
        "WORKERS": str(workers),
        **variables,
    }
    started = time.perf_counter()
    with log.open("ab") as file:
        process = subprocess.Popen(program.command, cwd=program.folder, env=environment, stdout=file, stderr=file)
    try:
        _wait_for_answer(port, process, log)
        yield Server(port, process, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error("%s does not end, and is killed", " ".join(program.command))
            process.kill()
            process.wait()


def _wait_for_answer(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            fetch(port, "/health/live")
            return
        time.sleep(0.01)
    raise SystemExit(f"bench: a server does not start:\n{log.read_text()[-2000:]}")


def fetch(port: int, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status not in (200, 201):
            raise SystemExit(f"bench: {path} answered {response.status}: {answer[:500]!r}")
        return answer
    finally:
        connection.close()
