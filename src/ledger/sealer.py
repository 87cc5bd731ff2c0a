"""The task of each process that seals and signs. One process at a time does; the others find the row taken."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from src.ledger import ledger_row, sealing, signing
from src.ledger.checkpoints import Checkpoint
from src.ledger.config import LedgerSettings
from src.ledger.constants import SEALED_AT_ONCE
from src.ledger.exceptions import OUTAGES, LedgerCloned, OriginChanged, TileLost
from src.ledger.ledger_row import LedgerRow
from src.ledger.witness_task import Transactions, WitnessTask

logger = logging.getLogger(__name__)

_UNSIGNED_SECONDS = 1
_NOT_ASKED = (
    "ledger: this database has taken over (timeline %d), and there is no witness to ask: whether the one before it "
    "had signed more than this one has is not known"
)
_WAITS = "ledger: this database has taken over (timeline %d): nothing is signed until the witnesses have been asked"


class Sealer:
    """Seals every `LEDGER_INTERVAL` until it is stopped. It outlives every outage."""

    def __init__(
        self, transactions: Transactions, settings: LedgerSettings, on_growth: Callable[[], None] | None = None
    ) -> None:
        """`on_growth` is called after entries were added."""
        self._transactions, self._settings, self._on_growth = transactions, settings, on_growth
        self._keys = settings.signers
        self._witness_task = WitnessTask(transactions, settings)
        # The newest checkpoint that this process knows to be signed.
        self._last: Checkpoint | None = None
        # The row of the ledger in a turn that had nothing to do. While it stays so, only new revisions need another.
        self._idle: LedgerRow | None = None
        # Why nothing is signed, as it was logged.
        self._unsigned: str | int | None = None
        self._task: asyncio.Task[None] | None = None
        # What went wrong last: it is logged once, not every second.
        self._trouble: str | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger sealer")
        self._witness_task.start()

    async def stop(self) -> None:
        """What is being sealed is rolled back, and sealed by whoever comes next."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._witness_task.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ledger_interval)
            try:
                await self.seal_all()
            except (LedgerCloned, TileLost) as error:
                self._report(logging.ERROR, f"sealing has stopped: {error}")
            except OriginChanged as error:
                self._report(logging.ERROR, f"nothing is signed: {error}")
            except OUTAGES as error:
                # SQLAlchemy has one name for many errors of PostgreSQL.
                cause = getattr(error, "driver_exception", error)
                self._report(logging.WARNING, f"sealing is not possible now: {type(cause).__name__}")
            except Exception as error:
                # A fault of ours must not end sealing for good.
                self._report(logging.ERROR, f"sealing failed: {type(error).__name__}", error)
            else:
                self._report(logging.INFO, None)

    async def seal_all(self) -> int:
        """Seal and sign until nothing waits, or somebody else seals. Returns how many entries were added."""
        async with self._transactions() as connection:
            head = await ledger_row.read(connection)
            if head and head == self._idle and not await sealing.is_any_new(connection, head):
                return 0
        self._idle = None
        added, more, many = 0, True, False
        unsigned_since = time.monotonic()
        while more:
            async with self._transactions() as connection:
                sealed = await sealing.seal(connection, SEALED_AT_ONCE, many=many)
            if sealed is None:
                break
            added, more, many = added + sealed.added, sealed.more, sealed.many
            if sealed.added and self._on_growth:
                self._on_growth()
            # While many wait, not each chunk has a checkpoint.
            if not more or time.monotonic() - unsigned_since > _UNSIGNED_SECONDS:
                was_signed = await self._sign()
                unsigned_since = time.monotonic()
                self._idle = None if added or more or not was_signed else head
        return added

    async def _sign(self) -> bool:
        """Sign what was committed. It leaves the database, with the log, only when its own commit is done.

        Returns whether there was nothing to sign or to log, and nothing that prevents it.
        """
        if not self._keys:
            return True
        origin = self._keys[0].name
        async with self._transactions() as connection:
            asks_first = bool(self._settings.witnesses)
            signed = await signing.sign(connection, origin, self._keys, self._last, asks_first=asks_first)
        if signed is None:
            return False
        self._last = signed.checkpoint or self._last
        self._report_unsigned(signed, asks_first)
        if signed.unlogged:
            async with self._transactions() as connection:
                for note in await signing.take_unlogged(connection, origin):
                    logger.info("ledger checkpoint", extra={"checkpoint": note})
            self._witness_task.wake()
        return not (signed.note or signed.unlogged or signed.forked or signed.new_timeline)

    def _report_unsigned(self, signed: signing.Signed, asks_first: bool) -> None:
        """Log why nothing is signed, or that no witness was asked before. Each reason is logged once."""
        reason = signed.forked or signed.new_timeline
        if reason and reason != self._unsigned:
            if signed.forked:
                logger.error("ledger: forked, so nothing is signed: %s", signed.forked)
            else:
                logger.warning(_WAITS if asks_first else _NOT_ASKED, signed.new_timeline)
        self._unsigned = reason

    def _report(self, level: int, trouble: str | None, error: Exception | None = None) -> None:
        """Log once what is wrong, and once that it is over."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        logger.log(level, "ledger: %s", trouble or "sealing and signing go on again", exc_info=error)
