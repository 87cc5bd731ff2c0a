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
        """The same for a stream, to its last event. No other attempt is made when the model has begun."""
        return self._admit(self._streams, ends, is_stream=True)

    @asynccontextmanager
    async def _admit(
        self, admission: Admission, ends: float, *, is_stream: bool = False
    ) -> AsyncIterator["CallBudget"]:
        with self._breaker.guard() as is_probe:
            async with _place(admission, ends):
                attempts = 1 if is_probe else self._settings.ai_max_attempts
                budget = CallBudget(self._settings, ends, attempts, is_stream=is_stream)
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

    def __init__(self, settings: AISettings, ends: float, attempts: int, *, is_stream: bool = False) -> None:
        self._settings, self._ends, self._attempts_left, self._is_stream = settings, ends, attempts, is_stream
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._began = self._clock()
        self._timer: asyncio.Handle
        self._begin_attempt()

    def _begin_attempt(self) -> None:
        self._last_progress, self._has_progressed = self._clock(), False

    @asynccontextmanager
    async def limit_time(self) -> AsyncIterator[None]:
        """Enter this around an attempt.

        It raises `TimeoutError` at the call's end, and when there was no progress for `ai_read_timeout`.
        """
        async with asyncio.timeout(None) as timeout:
            self._timer = self._loop.call_soon(self._end_in_time, timeout)
            try:
                yield
            finally:
                self._timer.cancel()

    def _end_in_time(self, timeout: asyncio.Timeout) -> None:
        """End `timeout` if it is time, else look again when it may be: that takes less than a timer for each token."""
        ends = min(self._last_progress + self._settings.ai_read_timeout, self._ends)
        if self._clock() < ends:
            self._timer = self._loop.call_at(ends, self._end_in_time, timeout)
        else:
            timeout.reschedule(ends)

    def note_progress(self) -> None:
        self._last_progress, self._has_progressed = self._clock(), True

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
        if self._is_stream and self._has_progressed:
            return False
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
        silence = self._clock() - self._last_progress
        patience = self._settings.ai_read_timeout
        if not self._has_progressed:
            patience = min(patience, self._settings.ai_deadline) / 2
        if silence < patience:
            setting = "AI_STREAM_DEADLINE" if self._is_stream else "AI_DEADLINE"
            return AIAnswerTooSlow(f"The answer takes too long. Ask for less, or have {setting} raised.")
        return AITimeout("The AI provider does not answer. Try again later.")
