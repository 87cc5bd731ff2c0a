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

_NOT_ASKED = (
    "ledger: a standby has taken over (timeline %d), and there is no witness to ask: whether the old primary had "
    "signed more than this database has is not known"
)
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
                self._report(logging.ERROR, f"sealing has stopped: {error}")
            except _OUTAGES as error:
                self._report(logging.WARNING, f"sealing is not possible now: {type(error).__name__}")
            except Exception as error:
                # A fault of ours must not end sealing for good.
                self._report(logging.ERROR, f"sealing failed: {type(error).__name__}", error)
            else:
                self._report(logging.INFO, None)

    async def seal_all(self) -> int:
        """Seal and sign until nothing waits, or somebody else seals. Returns how many entries were added."""
        added, more, many = 0, True, False
        while more:
            async with self._transactions() as connection:
                sealed = await sealing.seal(connection, SEALED_AT_ONCE, many=many)
            if sealed is None:
                break
            added, more, many = added + sealed.added, sealed.more, sealed.many
            await self._sign()
        return added

    async def _sign(self) -> None:
        """Sign what was committed. It leaves the database, with the log, only when its own commit is done."""
        if not self._keys:
            return
        origin = self._keys[0].name
        async with self._transactions() as connection:
            signed = await sealing.sign(connection, origin, self._keys)
        if signed is None:
            return
        if signed.new_timeline:
            logger.warning(_NOT_ASKED, signed.new_timeline)
        if signed.unlogged:
            async with self._transactions() as connection:
                for note in await sealing.take_unlogged(connection, origin):
                    logger.info("ledger checkpoint", extra={"checkpoint": note})

    def _report(self, level: int, trouble: str | None, error: Exception | None = None) -> None:
        """Log what is wrong, or that nothing is any more, once."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        logger.log(level, "ledger: %s", trouble or "sealing is possible again", exc_info=error)
