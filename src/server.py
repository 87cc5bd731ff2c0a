"""The server process, or the processes: uvicorn, with what it takes to end and to replace them without a loss."""

import os
import signal
import sys
from functools import partial
from socket import socket
from types import FrameType

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.server import Server
from uvicorn.supervisors import Multiprocess

from src.config import AppSettings
from src.observability import logging_config
from src.protocol import BoundedProtocol, ServerConfig

# Seconds. What a connection may take of a stop is bounded by itself; this is for what is left then.
_STOP_MARGIN = 1
_PARENT_CHECK = 1
# For a worker to start, or to answer its parent.
_WORKER_PATIENCE = 10


def serve(settings: AppSettings) -> None:
    """Returns when a signal has ended it; SIGHUP replaces several workers one by one, and loses no request."""
    config = _configure(settings)
    if settings.workers > 1:
        _Supervisor(config, sockets=[config.bind_socket()]).run()
        return
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _configure(settings: AppSettings) -> ServerConfig:
    config = ServerConfig(
        "src.main:create_app",
        factory=True,
        http=BoundedProtocol,
        ws="none",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=logging_config(settings.log_level),
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.graceful_shutdown_seconds + _STOP_MARGIN,
        timeout_worker_healthcheck=_WORKER_PATIENCE,
        callback_notify=partial(_end_with_parent, os.getpid()) if settings.workers > 1 else None,
        timeout_notify=_PARENT_CHECK,
    )
    config.settings = settings
    return config


class _Supervisor(Multiprocess):
    """uvicorn's, which takes notice of a signal to end only between the restarts of two workers."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.should_exit.set()
        for process in self.processes:
            if process.pid and process.exitcode is None:
                os.kill(process.pid, signal.SIGTERM)


async def _end_with_parent(parent: int) -> None:
    """A worker whose parent was killed would serve on, beside those of the next parent."""
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)
