"""The errors of the ledger domain."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from src.exceptions import Conflict, DatabaseUnavailable, NotFound, ValidationFailed

# The driver raises InternalClientError where PostgreSQL ended a session between two of its statements.
OUTAGES = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What an outage raises, of the database or of the way to it."""


class LedgerMissing(DatabaseUnavailable):
    """The migrations leave one row in `ledger`, and it is not there."""

    def __init__(self) -> None:
        super().__init__("The row of the table ledger is missing. The operator has to restore it.")


class TileLost(DatabaseUnavailable):
    """A tile that was written is not there, or has lost hashes: somebody has changed the table."""

    def __init__(self, level: int, number: int) -> None:
        super().__init__(f"Tile {level}/{number} of the ledger has lost hashes. The operator has to restore it.")


class LedgerUnsigned(NotFound):
    code, title = "ledger-unsigned", "The ledger has no checkpoint"

    def __init__(self, origin: str | None) -> None:
        reason = f"Nothing has been signed as {origin} yet: GET /health says why" if origin else "LEDGER_KEY is not set"
        super().__init__(f"{reason}. Status, tiles and proofs as JSON are there all the same.")


class TileNotFound(NotFound):
    code, title = "tile-not-found", "There is no such tile yet"


class RevisionNotFound(NotFound):
    code, title = "revision-not-found", "There is no such revision"


class NotSealed(Conflict):
    """The revision is there, and the sealer or the next checkpoint has not reached it yet."""

    code, title, retry_after = "not-sealed", "The revision is not in the ledger yet", 1


class SizeUnknown(ValidationFailed):
    def __init__(self, name: str, size: int) -> None:
        message = f"Must be at most {size}, the size of the ledger"
        super().__init__([{"loc": ["query", name], "msg": message, "type": "size_unknown"}])


class LedgerCloned(Exception):
    """The database is not the one that the ledger began in: nothing is sealed or signed. No request gets this."""

    def __init__(self) -> None:
        super().__init__(
            "this database is a copy: python -m src.ledger adopt goes on as the same ledger, new begins another"
        )


class OriginChanged(Exception):
    """The ledger has signed as `origin`, and LEDGER_ORIGIN is another one. No request gets this."""

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"LEDGER_ORIGIN is not {origin}, as which the ledger has signed so far: python -m src.ledger new begins to "
            "sign as LEDGER_ORIGIN"
        )


class AdoptionRefused(Exception):
    """The operator has asked for what is already so, or for what cannot be. No request gets this."""
