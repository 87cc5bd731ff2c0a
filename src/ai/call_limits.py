"""Limits of calls to the provider: how many run at once, how often one is attempted, and how long it takes."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from src.admission import Admission, NotAdmitted
from src.ai.circuit_breaker import CircuitBreaker, Clock
from src.ai.config import AISettings
from src.ai.constants import RETRY_DELAY
from src.ai.exceptions import AISaturated, AITimeout, TransientFailure

T = TypeVar("T")


class CallLimiter:
    """Decides which calls this process makes: a number at once, and none while the circuit breaker is open."""

    def __init__(self, settings: AISettings, clock: Clock = time.monotonic) -> None:
        """`clock` is the circuit breaker's."""
        self._settings = settings
        self._admission = Admission(settings.ai_max_in_flight, settings.ai_place_timeout)
        self._breaker = CircuitBreaker(settings, clock)

    @asynccontextmanager
    async def admit(self) -> AsyncIterator["CallBudget"]:
        """Enter this around a whole call, a stream to its last event. It yields what the call may take.

        The wait for a place counts towards the call's deadline. Raises `AICircuitOpen`, `AISaturated`.
        """
        started = asyncio.get_running_loop().time()
        with self._breaker.guard() as is_probe:
            async with self._place():
                yield CallBudget(self._settings, started, 1 if is_probe else self._settings.ai_max_attempts)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            await self._admission.admit()
        except NotAdmitted:
            raise AISaturated("Try again shortly.") from None
        try:
            yield
        finally:
            self._admission.release()


class CallBudget:
    """The attempts and the time that one call may take."""

    def __init__(self, settings: AISettings, started: float, attempts: int) -> None:
        """`started`: when the call began, by the event loop's clock, in seconds."""
        self._settings, self._started, self._attempts_left = settings, started, attempts

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt`, again after a `TransientFailure`, until it returns a result; return that result.

        Raises `AITimeout` at the deadline or if an attempt raises `TimeoutError`; else what the last attempt raises,
        and for a `TransientFailure` its `error`.
        """
        # The SDK's timeouts restart with each byte: a body that trickles in would never time out.
        with _as_ai_errors():
            async with asyncio.timeout_at(self._started + self._settings.ai_deadline):
                return await self._run_attempts(attempt)

    async def _run_attempts(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            self._attempts_left -= 1
            try:
                return await attempt()
            except TransientFailure as failure:
                delay = random.uniform(*RETRY_DELAY) if failure.delay is None else failure.delay
                if not self._can_retry(delay):
                    raise
            await asyncio.sleep(delay)

    def _can_retry(self, delay: float) -> bool:
        """Return whether an attempt is left and fits before the deadline: the provider charges for one that is cut."""
        needed = delay + self._settings.ai_connect_timeout + self._settings.ai_read_timeout
        left = self._started + self._settings.ai_deadline - asyncio.get_running_loop().time()
        return self._attempts_left > 0 and needed <= left

    async def limit_stream(self, events: AsyncIterator[T]) -> AsyncGenerator[T]:
        """Yield the events, each within `ai_stream_event_timeout` and all within `ai_stream_deadline`.

        Raises `AITimeout` for an event that is late, and for a `TransientFailure` its `error`: there is no other
        attempt, since the caller already has a part of this one.
        """
        end = self._started + self._settings.ai_stream_deadline
        while True:
            with _as_ai_errors():
                async with asyncio.timeout(self._settings.ai_stream_event_timeout), asyncio.timeout_at(end):
                    event = await anext(events, None)
            if event is None:
                return
            yield event


@contextmanager
def _as_ai_errors() -> Iterator[None]:
    """Raise `AITimeout` instead of `TimeoutError`, and the `error` of a `TransientFailure` instead of that failure."""
    try:
        yield
    except TransientFailure as failure:
        raise failure.error from None
    except TimeoutError:
        raise AITimeout("The AI provider did not answer in time. Ask for less, or try again.") from None
