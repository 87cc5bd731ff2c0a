"""A process that only seals, signs and asks witnesses, to be killed: `python -m tests.chaos.sealer_process`."""

import asyncio
from functools import partial

from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger.config import LedgerSettings
from src.ledger.sealer import Sealer


async def main() -> None:
    pool = create_ledger_pool(DatabaseSettings.load(), 2)
    Sealer(partial(driver_transaction, pool), LedgerSettings.load()).start()
    print("sealing", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
