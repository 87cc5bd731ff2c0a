"""The task of each process that seals and signs. One process at a time does; the others find the row taken."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from src.database import TransactionConnection
from src.ledger import sealing
from src.ledger.config import LedgerSettings
from src.ledger.constants import SEALED_AT_ONCE
from src.ledger.exceptions import LedgerCloned, OriginChanged

logger = logging.getLogger(__name__)

_ADVICE = {
    LedgerCloned: "this database is a copy: python -m src.ledger adopt goes on as the same ledger, new begins another",
    OriginChanged: "python -m src.ledger new begins to sign as LEDGER_ORIGIN",
}
# What an outage raises, of the database or of the way to it.
_OUTAGES = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

Transactions = Callable[[], AbstractAsyncContextManager[TransactionConnection]]
"""Opens a transaction: returning commits, raising rolls back."""


class Sealer:
    """Seals every `LEDGER_INTERVAL` until it is stopped. It outlives every outage."""

    def __init__(self, transactions: Transactions, settings: LedgerSettings) -> None:
        self._transactions, self._settings = transactions, settings
        self._keys = settings.signers
        self._task: asyncio.Task[None] | None = None
        # What went wrong last: it is logged once, not every second.
        self._trouble: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger sealer")

    async def stop(self) -> None:
        """What is being sealed is rolled back, and sealed by whoever comes next."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ledger_interval)
            try:
                await self.seal_all()
            except (LedgerCloned, OriginChanged) as error:
                self._report(logging.ERROR, f"{error or 'cloned'}: {_ADVICE[type(error)]}")
            except _OUTAGES as error:
                self._report(logging.WARNING, f"not possible now: {type(error).__name__}")
            except Exception:
                # A fault of ours must not end sealing for good.
                logger.exception("ledger: sealing failed")
            else:
                self._report(logging.INFO, None)

    async def seal_all(self) -> int:
        """Seal and sign until nothing waits, or somebody else seals. Returns how many entries were added."""
        added, more = 0, True
        while more:
            async with self._transactions() as connection:
                sealed = await sealing.seal(connection, SEALED_AT_ONCE)
            if sealed is None:
                break
            added, more = added + sealed.added, sealed.more
            await self._sign()
        return added

    async def _sign(self) -> None:
        """Sign what was committed. It leaves the database, with the log, only when its own commit is done."""
        if not self._keys:
            return
        async with self._transactions() as connection:
            note = await sealing.sign(connection, self._keys[0].name, self._keys)
        if note:
            logger.info("ledger checkpoint", extra={"checkpoint": note})

    def _report(self, level: int, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        logger.log(level, "ledger: sealing is %s", trouble or "possible again")
