"""The server process, or the processes: uvicorn, with what it takes to end and to replace them without a loss."""

import logging
import os
import resource
import signal
import sys
from functools import partial
from socket import AF_INET, AF_INET6, create_server, socket
from types import FrameType

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.server import Server
from uvicorn.supervisors import Multiprocess

from src.config import AppSettings
from src.log import logging_config
from src.web.connection import BoundedProtocol
from src.web.sending import ServerConfig

logger = logging.getLogger(__name__)

# Seconds. What a connection may take of a stop is bounded by itself; this is for what is left then.
_STOP_MARGIN = 1
_PARENT_CHECK = 1
# By all workers together.
_ACCEPTS = 16
# Connections that wait to be taken; the system may hold fewer.
_BACKLOG = 2048
# Of the process, beside those of its clients: for the database, providers, files and the socket.
_OTHER_DESCRIPTORS = 256
_MANY_DESCRIPTORS = 65_536
# For a worker to start, or to answer its parent.
_WORKER_PATIENCE = 10


def serve(settings: AppSettings) -> None:
    """Returns when a signal has ended it; SIGHUP replaces several workers one by one, and loses no request.

    With one worker SIGHUP is an end like the others.
    """
    config = _configure(settings)
    config.settings = _fit_connections(settings)
    sockets = _listen(settings)
    if settings.workers > 1:
        _Supervisor(config, sockets).run()
        return
    server = Server(config)
    # There is no other to take over, but what is in flight is finished: unhandled, it would be a kill.
    signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _configure(settings: AppSettings) -> ServerConfig:
    return ServerConfig(
        "src.main:create_app",
        factory=True,
        http=BoundedProtocol,
        ws="none",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=logging_config(settings.log_level, settings.log_max_line_bytes),
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.graceful_shutdown_seconds + _STOP_MARGIN,
        timeout_worker_healthcheck=_WORKER_PATIENCE,
        callback_notify=partial(_end_with_parent, os.getpid()) if settings.workers > 1 else None,
        timeout_notify=_PARENT_CHECK,
    )


def _fit_connections(settings: AppSettings) -> AppSettings:
    limit = _raise_descriptor_limit(settings.max_connections + _OTHER_DESCRIPTORS)
    fitting = max(1, limit - _OTHER_DESCRIPTORS)
    if fitting >= settings.max_connections:
        return settings
    logger.warning("MAX_CONNECTIONS is %s instead: no more than %s files may be open (ulimit -n)", fitting, limit)
    return settings.model_copy(update={"max_connections": fitting})


def _raise_descriptor_limit(needed: int) -> int:
    """Of this process and its workers, as far as the system lets it. Returns the limit.

    The usual one, 1,024, leaves nothing for those who ask for health when others have opened as many connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    most = max(needed, _MANY_DESCRIPTORS)
    raised = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(raised, soft)


def _listen(settings: AppSettings) -> list[socket]:
    """One socket, as often as uvloop is to take a connection of it in one turn: it takes one of each.

    Measured with 100 clients that come at once and ask again and again: the last was taken after 1.6 s, when the others
    had been answered ten times; so, after 0.2 s. With 320 at two workers that took one each, it was after 1.2 to 1.7 s;
    when each takes eight, after 0.3 s, and of 64 clients that come at once each has its share as before.
    """
    family = AF_INET6 if ":" in settings.host else AF_INET
    try:
        listening = create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, TypeError, UnicodeError) as error:
        # A name that nobody knows has no errno of the system, and one that cannot be encoded none at all.
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else "there is no such host"
        logger.error("cannot listen at %s, port %s (HOST, PORT): %s", settings.host, settings.port, reason)
        sys.exit(STARTUP_FAILURE)
    host = f"[{settings.host}]" if family is AF_INET6 else settings.host
    logger.info("listening on http://%s:%s", host, listening.getsockname()[1])
    accepts = max(1, _ACCEPTS // settings.workers)
    return [listening, *(listening.dup() for _ in range(accepts - 1))]


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
