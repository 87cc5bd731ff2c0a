"""A program that fits 1,000 connections into limits of open files, given as `SOFT HARD`.

It prints how many connections fit, and the soft limit that is in force then.
"""

import resource
import sys

from src.config import AppSettings
from src.web import server

if __name__ == "__main__":
    soft, hard = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    fitted = server._fit_connections(AppSettings(max_connections=1000))  # noqa: SLF001
    print(fitted.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # noqa: T201
