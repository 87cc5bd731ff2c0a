"""The task of each process that has witnesses sign checkpoints, beside the sealer and never in its way."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING

from src.driver_transaction import DriverTransaction
from src.ledger import witnesses
from src.ledger.config import LedgerSettings
from src.ledger.constants import WitnessState
from src.ledger.exceptions import OUTAGES
from src.ledger.witnesses import Answer, Question

if TYPE_CHECKING:
    from src.ledger.witness_client import WitnessClient

logger = logging.getLogger(__name__)

Transactions = Callable[[], AbstractAsyncContextManager[DriverTransaction]]
"""Opens a transaction: returning commits, raising rolls back."""


class WitnessTask:
    """Asks every `LEDGER_INTERVAL`, and when there is a new checkpoint, until it is stopped."""

    def __init__(self, transactions: Transactions, settings: LedgerSettings) -> None:
        self._transactions, self._settings = transactions, settings
        self._origin = settings.ledger_origin or ""
        self._client: WitnessClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._asking = set[asyncio.Task[None]]()
        self._wanted = asyncio.Event()
        # The state of each witness that was logged last.
        self._states: dict[str, WitnessState] = {}

    def start(self) -> None:
        if self._settings.witnesses:
            self._task = asyncio.create_task(self._run(), name="ledger witnesses")

    async def stop(self) -> None:
        tasks = [*filter(None, [self._task]), *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.close()

    def wake(self) -> None:
        """There is a new checkpoint."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.ledger_interval):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.ask()
            except Exception as error:
                _log_unless_outage(error)

    async def ask(self) -> list[asyncio.Task[None]]:
        """Begin to ask each witness whose turn it is, and return the tasks. Raises what an outage raises.

        Each has a task of its own, so that a witness that hangs holds up no other.
        """
        tasks = [
            asyncio.create_task(self._ask(question), name="ledger witness") for question in await self._take_questions()
        ]
        for task in tasks:
            self._asking.add(task)
            task.add_done_callback(self._forget)
        return tasks

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log_unless_outage(error)

    async def _take_questions(self) -> list[Question]:
        async with self._transactions() as connection:
            return await witnesses.take_questions(connection, self._origin, self._settings.witnesses)

    async def _ask(self, question: Question) -> None:
        from src.ledger.witness_client import WitnessClient

        client = self._client = self._client or WitnessClient()
        answer = await client.ask(question, self._transactions, self._origin)
        async with self._transactions() as connection:
            known, quorum = self._settings.witnesses, self._settings.quorum
            await witnesses.keep_answer(connection, self._origin, known, quorum, question, answer)
        self._report(question, answer)

    def _report(self, question: Question, answer: Answer) -> None:
        """Log a change of a witness's state, once."""
        name = question.witness.key.name
        before = self._states.get(name, WitnessState.OK)
        self._states[name] = answer.state
        if answer.state is before:
            return
        if answer.state is WitnessState.FORKED:
            logger.error("ledger: forked: the witness %s %s; nothing is signed any more", name, answer.detail)
        elif answer.state is WitnessState.OK:
            logger.info("ledger: the witness %s signs again", name)
        else:
            logger.warning("ledger: the witness %s does not sign (%s): %s", name, answer.state, answer.detail)


def _log_unless_outage(error: BaseException) -> None:
    # The sealer, which needs the same database, logs an outage.
    if not isinstance(error, OUTAGES):
        logger.error("ledger: the witnesses were not asked", exc_info=error)
