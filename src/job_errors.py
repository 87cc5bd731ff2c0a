"""Error reports of commands that people run, such as a migration: one line that says what is wrong and what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError

# By SQLSTATE (PostgreSQL documentation, appendix A), or by its class, the first two characters.
_ADVICE_BY_SQLSTATE = {
    "08": "the connection was lost: check that the server is up, and try again",
    "08P01": "there is a pooler: connect to PostgreSQL itself, or set DATABASE_POOLER=transaction",
    "25006": "connect to a server that takes writes",
    "28": "check the user and the password of DATABASE_URL",
    "3D000": "create the database, or name another in DATABASE_URL",
    "40": "it conflicted with another transaction: try again; instead of a standby, use its primary",
    "42501": "connect as the owner of the tables, or grant what is missing",
    "53": "try again when the server has free connections and memory",
    "53100": "the server's disk is full: make room, and try again",
    "55P03": "somebody else holds a lock: try again later",
    "57": "try again when the server is up",
    "57014": "somebody cancelled it, or a limit of the server did: try again",
}


# Errors without an SQLSTATE: asyncpg raises them for a lost connection, and for a DATABASE_URL that it cannot follow.
_CLIENT_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_DRIVER_ERRORS = (asyncpg.PostgresError, *_CLIENT_ERRORS)


@contextmanager
def exit_with_one_line(job: str, advice: Mapping[str, str] | None = None) -> Iterator[None]:
    """End the process with one line (`SystemExit`, status 1) on an error that an operator can fix.

    Other errors pass through. `advice` says what to do for SQLSTATEs that only this job can meet.
    """
    try:
        yield
    except (DBAPIError, *_DRIVER_ERRORS, OSError) as error:
        if line := _describe_outage(
            getattr(error, "driver_exception", None) or error, _ADVICE_BY_SQLSTATE | dict(advice or {})
        ):
            raise SystemExit(f"{job}: {line}") from None
        raise


def _describe_outage(error: BaseException, advice: Mapping[str, str]) -> str | None:
    if isinstance(error, TimeoutError):
        return "the database does not answer in time: check that DATABASE_URL names it, and that it is up"
    if isinstance(error, OSError):
        return f"the database cannot be reached ({error}): check that DATABASE_URL names it, and that it is up"
    if isinstance(error, _CLIENT_ERRORS):
        return f"{_first_line(error)}: check DATABASE_URL, and that the server is up"
    sqlstate = getattr(error, "sqlstate", None) or ""
    what_to_do = advice.get(sqlstate) or advice.get(sqlstate[:2])
    return what_to_do and f"{_first_line(error)}: {what_to_do}"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
