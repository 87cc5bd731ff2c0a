"""`python -m src.ledger key ORIGIN | adopt | new`: make a key; say what a copy of the database is to be."""

import asyncio
import logging
import logging.config
import sys

from src.config import AppSettings, DatabaseSettings
from src.database import job_transaction
from src.jobs import exit_with_one_line
from src.ledger import adoption
from src.ledger.config import LedgerSettings, check_origin
from src.ledger.exceptions import AdoptionRefused
from src.ledger.notes import SignerKey
from src.log import logging_config

logger = logging.getLogger("src.ledger")

_USAGE = "usage: python -m src.ledger key ORIGIN | adopt | new"


def main(arguments: list[str]) -> None:
    match arguments:
        case ["key", origin]:
            print_key(origin)
        case ["adopt" | "new" as command]:
            with exit_with_one_line("ledger", {"42P01": "the database is not migrated: run make migrate"}):
                asyncio.run(_decide(command))
        case _:
            raise SystemExit(_USAGE)


def print_key(origin: str) -> None:
    """Print the settings of a new key, and its verifier key. Nothing is written."""
    try:
        key = SignerKey.generate(check_origin(origin))
    except ValueError as error:
        raise SystemExit(f"ledger-key: origin {error}") from None
    print(f"LEDGER_ORIGIN={origin}")
    print(f"LEDGER_KEY={key.secret}")
    print(f"verifier key, for whoever checks: {key.verifier}")


async def _decide(command: str) -> None:
    settings = LedgerSettings.load()
    app_settings = AppSettings.load()
    logging.config.dictConfig(logging_config(app_settings.log_level, app_settings.log_max_line_bytes))
    try:
        async with job_transaction(DatabaseSettings.load()) as connection:
            if command == "adopt":
                size = await adoption.adopt(connection, [witness.key.name for witness in settings.witnesses])
            else:
                size = await adoption.begin_anew(connection, settings.ledger_origin)
    except AdoptionRefused as error:
        raise SystemExit(f"ledger: {error}") from None
    name = "the same ledger" if command == "adopt" else settings.ledger_origin
    logger.warning("ledger %s: this database goes on as %s, from size %d", command, name, size)


if __name__ == "__main__":
    main(sys.argv[1:])
