"""What one call of the provider may spend: time and attempts."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from src.ai.config import AISettings
from src.ai.constants import RETRY_DELAY
from src.ai.exceptions import AITimeout, FastFailure

T = TypeVar("T")


class Budget:
    """One for each call."""

    def __init__(self, settings: AISettings) -> None:
        self._settings = settings
        self.attempts = 0

    async def spend(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the first attempt returns that does not fail fast.

        Raises `AITimeout` at the deadline or for a `TimeoutError`, else what the last attempt raises: of a
        `FastFailure`, its `error`.
        """
        try:
            # Timeouts of the SDK count from byte to byte: a body that trickles has no end for them.
            async with asyncio.timeout(self._settings.ai_deadline) as deadline:
                return await self._attempt_in_turn(attempt, deadline)
        except TimeoutError:
            raise AITimeout("The AI provider did not answer in time. Ask for less, or try again.") from None

    async def _attempt_in_turn(self, attempt: Callable[[], Awaitable[T]], deadline: asyncio.Timeout) -> T:
        while True:
            self.attempts += 1
            try:
                return await attempt()
            except FastFailure as failure:
                delay = random.uniform(*RETRY_DELAY) if failure.delay is None else failure.delay
                if not self._has_another(delay, deadline):
                    raise failure.error from None
            await asyncio.sleep(delay)

    def _has_another(self, delay: float, deadline: asyncio.Timeout) -> bool:
        """Whether an attempt is left, and fits as a whole: one that the deadline is bound to cut is only paid for."""
        end = deadline.when()
        if self.attempts >= self._settings.ai_max_attempts or end is None:
            return False
        needed = delay + self._settings.ai_connect_timeout + self._settings.ai_read_timeout
        return asyncio.get_running_loop().time() + needed <= end
