"""uvicorn's configuration: the settings of connections, the event loop, and the logging of each process."""

import logging
import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial
from typing import Any

from typing_extensions import override
from uvicorn.config import Config

from src.config import AppSettings
from src.web.listening import Loop, Shares


class ServerConfig(Config):
    """uvicorn's configuration, with the settings that its connections need."""

    settings: AppSettings

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shares = Shares(self.workers)

    @override
    def get_loop_factory(self) -> Callable[[], AbstractEventLoop]:
        return partial(Loop, self.shares)

    @override
    def load(self) -> None:
        """Load the application; each process that serves calls it.

        Of several workers each leads a session, as each process of PostgreSQL does. Where control groups do not divide
        the processors, Linux divides them between sessions (autogroup in sched(7)): all workers together would get as
        much as one connection of a PostgreSQL on the same machine (tests/benchmarks/README.md).
        """
        if self.settings.workers > 1:
            os.setsid()
        super().load()

    @override
    def configure_logging(self) -> None:
        """Configure the logging of this process; each worker calls it.

        When stdout is closed, logging must not write a traceback to stderr for every line.
        """
        super().configure_logging()
        logging.raiseExceptions = False
