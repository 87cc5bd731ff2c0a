"""Limits of calls to the provider: how many run at once, how often one is attempted, and how long it takes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from src.admission import Admission, NotAdmitted
from src.ai.circuit_breaker import CircuitBreaker, Clock
from src.ai.config import AISettings
from src.ai.constants import RETRY_DELAY
from src.ai.exceptions import AIAnswerTooSlow, AISaturated, AITimeout, TransientFailure

T = TypeVar("T")


class CallLimiter:
    """Decides which calls this process makes: a number at once, and none while the circuit breaker is open.

    Streams have places of their own, so that no number of slow plain calls keeps them waiting.
    """

    def __init__(self, settings: AISettings, clock: Clock = time.monotonic) -> None:
        """`clock` is the circuit breaker's."""
        self._settings = settings
        self._plain_calls = Admission(settings.ai_max_in_flight, settings.ai_place_timeout)
        self._streams = Admission(settings.ai_max_streams, settings.ai_place_timeout)
        self._breaker = CircuitBreaker(settings, clock)

    def admit(self, ends: float) -> AbstractAsyncContextManager["CallBudget"]:
        """Enter this around a whole plain call, which ends at `ends`, by the event loop's clock in seconds.

        It yields what the call may take; the wait for a place counts. Raises `AICircuitOpen`, `AISaturated`, and for a
        `TimeoutError` or a `TransientFailure` of the call an `AIError`.
        """
        return self._admit(self._plain_calls, ends)

    def admit_stream(self, ends: float) -> AbstractAsyncContextManager["CallBudget"]:
        """The same for a stream, to its last event."""
        return self._admit(self._streams, ends)

    @asynccontextmanager
    async def _admit(self, admission: Admission, ends: float) -> AsyncIterator["CallBudget"]:
        with self._breaker.guard() as is_probe:
            async with _place(admission, ends):
                budget = CallBudget(self._settings, ends, 1 if is_probe else self._settings.ai_max_attempts)
                with budget.translate_errors():
                    yield budget


@asynccontextmanager
async def _place(admission: Admission, ends: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(ends):
            await admission.admit()
    except (NotAdmitted, TimeoutError):
        raise AISaturated("Try again shortly.") from None
    try:
        yield
    finally:
        admission.release()


class CallBudget:
    """The attempts and the time that one call may take, and whether the provider makes progress."""

    def __init__(self, settings: AISettings, ends: float, attempts: int) -> None:
        self._settings, self._ends, self._attempts_left = settings, ends, attempts
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._begin_attempt()

    def _begin_attempt(self) -> None:
        self._silence, self._has_progressed = 0.0, False
        self._wait_began = self._clock()

    def limit_wait(self) -> asyncio.Timeout:
        """Enter this around each wait for the provider, and call `end_wait` after it.

        It raises `TimeoutError` at the call's end, and when all waits since the last progress take `ai_read_timeout`.
        """
        self._wait_began = now = self._clock()
        return asyncio.timeout_at(min(now + self._settings.ai_read_timeout - self._silence, self._ends))

    def end_wait(self) -> float:
        """Return the seconds of the wait."""
        waited = self._clock() - self._wait_began
        self._silence += waited
        return waited

    def note_progress(self) -> None:
        self._silence, self._has_progressed = 0.0, True

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt`, again after a `TransientFailure`, until it returns a result; return that result.

        Raises what the last attempt raises.
        """
        while True:
            self._attempts_left -= 1
            self._begin_attempt()
            try:
                return await attempt()
            except TransientFailure as failure:
                delay = random.uniform(*RETRY_DELAY) if failure.delay is None else failure.delay
                if not self._can_retry(delay):
                    raise
            await asyncio.sleep(delay)

    def _can_retry(self, delay: float) -> bool:
        """Return whether an attempt is left, and most of the time for it: the provider charges for one that is cut."""
        latest = self._began + (self._ends - self._began) / 4
        return self._attempts_left > 0 and self._clock() + delay <= latest

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise an `AITimeout` instead of `TimeoutError`, and the `error` of a `TransientFailure` instead of that."""
        try:
            yield
        except TransientFailure as failure:
            raise failure.error from None
        except TimeoutError:
            raise self._timeout_error() from None

    def _timeout_error(self) -> AITimeout:
        """A provider that was silent for long is away, and one that was still answering at the deadline is slow.

        Silence is long after `ai_read_timeout`; before the first progress half of what an ordinary call waits will do,
        since a call may have spent time on waiting for a place.
        """
        silence = self._silence + self._clock() - self._wait_began
        patience = self._settings.ai_read_timeout
        if not self._has_progressed:
            patience = min(patience, self._settings.ai_deadline) / 2
        if silence < patience:
            return AIAnswerTooSlow("The answer takes too long. Ask for less, or have AI_DEADLINE raised.")
        return AITimeout("The AI provider does not answer. Try again later.")
