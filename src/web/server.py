"""The server: one uvicorn process or several, which stop and are replaced without losing a request."""

import gc
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

from src.config import EXPLORER_PATH, AppSettings
from src.log import logging_config
from src.web.connection import BoundedProtocol
from src.web.server_config import ServerConfig

logger = logging.getLogger(__name__)

# Connections end within GRACEFUL_SHUTDOWN_SECONDS by themselves; this much later uvicorn cancels what is left.
_STOP_MARGIN_SECONDS = 1
_PARENT_CHECK_SECONDS = 1
# Connections that the system may hold until a worker accepts them.
_BACKLOG = 2048
# File descriptors for other things than clients' connections: the database, providers, files and the listening socket.
_RESERVED_DESCRIPTORS = 256
_PREFERRED_DESCRIPTORS = 65_536
# The time for a worker to start, and to answer its parent.
_WORKER_TIMEOUT_SECONDS = 10


def serve(settings: AppSettings) -> None:
    """Serve until a signal stops the server.

    SIGHUP replaces several workers one by one without losing a request. With one worker it stops the server.
    """
    config = _configure(settings)
    config.settings = _fit_connections(settings)
    sockets = [_listen(settings)]
    if settings.workers > 1:
        gc.enable()
        _Supervisor(config, sockets).run()
        return
    server = Server(config)
    # Without a handler SIGHUP would kill the process; with this one it finishes the requests in flight.
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
        timeout_graceful_shutdown=settings.graceful_shutdown_seconds + _STOP_MARGIN_SECONDS,
        timeout_worker_healthcheck=_WORKER_TIMEOUT_SECONDS,
        callback_notify=partial(_stop_without_parent, os.getpid()) if settings.workers > 1 else None,
        timeout_notify=_PARENT_CHECK_SECONDS,
    )


def _fit_connections(settings: AppSettings) -> AppSettings:
    """Return settings whose `max_connections` fit within the limit of open files; log a warning if they did not."""
    limit = _raise_descriptor_limit(settings.max_connections + _RESERVED_DESCRIPTORS)
    fitting = max(1, limit - _RESERVED_DESCRIPTORS)
    if fitting >= settings.max_connections:
        return settings
    logger.warning("MAX_CONNECTIONS is %s instead: no more than %s files may be open (ulimit -n)", fitting, limit)
    return settings.model_copy(update={"max_connections": fitting})


def _raise_descriptor_limit(needed: int) -> int:
    """Raise the limit of open files of this process and its workers to `needed` if possible. Returns the limit.

    With the usual limit of 1,024, a thousand open connections would leave none for health checks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    most = max(needed, _PREFERRED_DESCRIPTORS)
    raised = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(raised, soft)


def _listen(settings: AppSettings) -> socket:
    family = AF_INET6 if ":" in settings.host else AF_INET
    try:
        listening = create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, TypeError, UnicodeError) as error:
        # The errno of an unknown host name is negative; a host name that cannot be encoded has no errno.
        number = getattr(error, "errno", None) or 0
        reason = os.strerror(number) if number > 0 else "there is no such host"
        logger.error("cannot listen at %s, port %s (HOST, PORT): %s", settings.host, settings.port, reason)
        sys.exit(STARTUP_FAILURE)
    host = f"[{settings.host}]" if family is AF_INET6 else settings.host
    logger.info("listening on http://%s:%s", host, listening.getsockname()[1])
    if settings.explorer_enabled:
        logger.info("explorer: http://%s:%s%s", host, listening.getsockname()[1], EXPLORER_PATH)
    return listening


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, but SIGTERM and SIGINT also stop it while SIGHUP restarts the workers.

    uvicorn's own queues the signal until all workers are restarted.
    """

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Pass the signal on: a worker that gets SIGINT a second time stops at once."""
        self.should_exit.set()
        for process in self.processes:
            if process.pid and process.exitcode is None:
                os.kill(process.pid, number)


async def _stop_without_parent(parent: int) -> None:
    """Stop this worker if its parent was killed: else it would go on beside the workers of the next parent."""
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)
