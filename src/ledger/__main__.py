"""`python -m src.ledger key ORIGIN [mldsa] | adopt | new`: make a key; say what a copy of the database is to be."""

import asyncio
import logging
import logging.config
import sys
from collections.abc import Mapping

from src.config import AppSettings, DatabaseSettings
from src.engines import job_transaction
from src.job_errors import exit_with_one_line
from src.ledger import adoption
from src.ledger.config import LedgerSettings, check_origin
from src.ledger.cosignatures import MlDsaSignerKey
from src.ledger.exceptions import AdoptionRefused
from src.ledger.notes import SignerKey
from src.log import logging_config

logger = logging.getLogger("src.ledger")

_USAGE = "usage: python -m src.ledger key ORIGIN [mldsa] | adopt | new"


def main(arguments: list[str]) -> None:
    match arguments:
        case ["key", origin]:
            print_keys(origin, {"LEDGER_KEY": SignerKey})
        case ["key", origin, "mldsa"]:
            print_keys(origin, {"LEDGER_KEY": SignerKey, "LEDGER_MLDSA_KEY": MlDsaSignerKey})
        case ["adopt" | "new" as command]:
            with exit_with_one_line("ledger", {"42P01": "the database is not migrated: run make migrate"}):
                asyncio.run(_decide(command))
        case _:
            raise SystemExit(_USAGE)


def print_keys(origin: str, kinds: Mapping[str, type[SignerKey]]) -> None:
    """Print the settings of new keys, and their verifier keys. Nothing is written."""
    try:
        keys = {setting: kind.generate(check_origin(origin)) for setting, kind in kinds.items()}
    except ValueError as error:
        raise SystemExit(f"ledger-key: origin {error}") from None
    print(f"LEDGER_ORIGIN={origin}")
    for setting, key in keys.items():
        print(f"{setting}={key.secret}")
    for key in keys.values():
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
