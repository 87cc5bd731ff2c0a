"""A program that prints how many connections fit within limits of open files, given as `SOFT HARD`."""

import resource
import sys

from src.config import AppSettings
from src.web import server

if __name__ == "__main__":
    soft, hard = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(server._fit_connections(AppSettings(max_connections=1000)).max_connections)  # noqa: SLF001, T201
