"""Runs programs of this project as `python -m NAME` does, without the time that their imports take.

Nearly all of a start is the import of libraries: 0.9 s of CPU for the service, and tests start a hundred programs. So
one process, which this module is when it is run, imports what the programs share, and forks for each of them. What it
forks has its own process, arguments, environment and files, and runs the module `NAME` itself from its first line.
"""

import asyncio
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple

PROJECT_ROOT = Path(__file__).resolve().parents[1]
CAN_FORK = hasattr(os, "pidfd_open")
"""Linux can wait for a process that is no child. Elsewhere each program is started in full."""

# No module that is itself run as a program: Python would warn that it is there already.
_SHARED = ("src.main", "src.web.server", "alembic.command", "scripts.import_events.sender")
_LONGEST_REQUEST = 1 << 20
_lock = Lock()


class Forked:
    """A running program. It is used like `asyncio.subprocess.Process`; its standard input is empty."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> int:
        ended, descriptor = asyncio.Event(), os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self.returncode = await asyncio.to_thread(_ask, {"ended": self.pid})
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._ending)

    async def communicate(self) -> tuple[bytes, bytes]:
        out, err, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, err

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Program = Forked | asyncio.subprocess.Process


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


async def start(module: str, *arguments: str, **variables: str) -> Program:
    """Start `python -m module` in the project's folder with these variables added to the environment."""
    if not CAN_FORK:
        return await start_in_full(module, *arguments, **variables)
    request = {"module": module, "arguments": arguments, "environment": os.environ | variables}
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    try:
        pid = await asyncio.to_thread(_ask, request, [out_end, err_end])
    finally:
        os.close(out_end)
        os.close(err_end)
    return Forked(pid, await _reader(os.fdopen(out, "rb")), await _reader(os.fdopen(err, "rb")))


async def start_in_full(module: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    """Start it as users do, for promises about the start itself."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=PROJECT_ROOT,
        env=os.environ | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(module: str, *arguments: str, **variables: str) -> Done:
    return await finish(await start(module, *arguments, **variables))


async def finish(program: Program) -> Done:
    out, err = await program.communicate()
    assert program.returncode is not None
    return Done(program.returncode, out.decode(), err.decode())


async def _reader(pipe: IO[bytes]) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@cache
def _parent() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The process that forks, and the socket to ask it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        command = (sys.executable, "-m", "tests.programs", str(its.fileno()))
        return ours, subprocess.Popen(
            command, cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[its.fileno()]
        )


def _ask(request: Mapping[str, Any], files: list[int] | None = None) -> int:
    with _lock:
        control, _ = _parent()
        socket.send_fds(control, [json.dumps(request).encode()], files or [])
        return int(control.recv(32))


def stop() -> None:
    """End the process that forks, if a test has started it."""
    if _parent.cache_info().currsize:
        control, process = _parent()
        control.close()
        process.wait()
        _parent.cache_clear()


def _serve(control: socket.socket) -> str | None:
    """Answer requests: with the id of the process forked, or with the status of one that has ended.

    Returns in each forked process the module to run, and in this one None when nobody can ask any more.
    """
    gc.disable()  # as src/__main__.py does for its imports
    for name in _SHARED:
        import_module(name)
    gc.freeze()
    gc.enable()
    while True:
        message, files, _, _ = socket.recv_fds(control, _LONGEST_REQUEST, 2)
        if not message:
            return None
        request = json.loads(message)
        if pid := request.get("ended"):
            control.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        elif pid := os.fork():
            for descriptor in files:
                os.close(descriptor)
            control.send(str(pid).encode())
        else:
            control.close()
            for target, descriptor in enumerate(files, start=1):
                os.dup2(descriptor, target)
                os.close(descriptor)
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv[1:] = request["arguments"]
            return str(request["module"])


if __name__ == "__main__":
    if to_run := _serve(socket.socket(fileno=int(sys.argv[1]))):
        runpy.run_module(to_run, run_name="__main__", alter_sys=True)
