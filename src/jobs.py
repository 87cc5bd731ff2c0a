"""What runs to its end at a terminal, such as a migration: what stops it is said in one line, with what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError

# SQLSTATE (PostgreSQL documentation, appendix A): the whole code first, then its class; with what to do.
_ADVICE = {
    "08": "the connection was lost: check that the server is up, and try again",
    "08P01": "a pooler stands between: connect past it, or set DATABASE_POOLER=transaction",
    "25006": "connect to a server that takes writes",
    "28": "check the user and the password of DATABASE_URL",
    "3D000": "create the database, or name another in DATABASE_URL",
    "40": "somebody else was in the way: try again, and on a standby try its primary",
    "42501": "connect as the owner of the tables, or grant what is missing",
    "53": "try again when the server has less to do",
    "53100": "the server's disk is full: make room, and try again",
    "55P03": "somebody else holds a lock: try again later",
    "57": "try again when the server is up",
    "57014": "somebody cancelled it, or a limit of the server did: try again",
}


# asyncpg's own, without an SQLSTATE: of a connection that was lost, and of a DATABASE_URL that cannot be followed.
_OF_CONNECTING = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_OF_DRIVER = (asyncpg.PostgresError, *_OF_CONNECTING)


@contextmanager
def told_in_one_line(job: str, advice: Mapping[str, str] | None = None) -> Iterator[None]:
    """End the process with one line (`SystemExit`, status 1) for what an operator can change; let the rest through.

    `advice` adds what to do for the SQLSTATEs of this job.
    """
    try:
        yield
    except (DBAPIError, *_OF_DRIVER, OSError) as error:
        if line := _describe(getattr(error, "driver_exception", None) or error, _ADVICE | dict(advice or {})):
            raise SystemExit(f"{job}: {line}") from None
        raise


def _describe(error: BaseException, advice: Mapping[str, str]) -> str | None:
    if isinstance(error, TimeoutError):
        return "the database does not answer in time: check that DATABASE_URL names it, and that it is up"
    if isinstance(error, OSError):
        return f"the database cannot be reached ({error}): check that DATABASE_URL names it, and that it is up"
    if isinstance(error, _OF_CONNECTING):
        return f"{_first_line(error)}: check DATABASE_URL, and that the server is up"
    sqlstate = getattr(error, "sqlstate", None) or ""
    what_to_do = advice.get(sqlstate) or advice.get(sqlstate[:2])
    return what_to_do and f"{_first_line(error)}: {what_to_do}"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
