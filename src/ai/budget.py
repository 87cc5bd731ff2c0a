"""What calls of the provider may spend, time, attempts and places, and when none is made at all."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from src.admission import Admission, NotAdmitted
from src.ai.config import AISettings
from src.ai.constants import RETRY_DELAY
from src.ai.exceptions import AICircuitOpen, AIError, AISaturated, AITimeout, FastFailure

T = TypeVar("T")
Clock = Callable[[], float]


class CircuitBreaker:
    """Spares a provider that fails, and those who would wait for it.

    After so many failures in a row it is open: no call is made for a while. Then one is, the probe; how it ends decides
    for all. A failure is a call that finds the provider away or too slow. Every other error, and a caller that leaves,
    says nothing about the provider.
    """

    def __init__(self, settings: AISettings, clock: Clock = time.monotonic) -> None:
        """`clock` returns seconds, and never goes back."""
        self._window, self._pause, self._clock = settings.ai_breaker_window, settings.ai_breaker_pause, clock
        self._failures: deque[float] = deque(maxlen=settings.ai_breaker_failures)
        self._opened_at: float | None = None
        self._is_probing = False

    @contextmanager
    def watch(self) -> Iterator[bool]:
        """To be held around a call; the value is whether that is the probe. Raises `AICircuitOpen`."""
        is_probe = self._admit()
        try:
            yield is_probe
            self._succeed(is_probe)
        except AIError as error:
            if error.is_outage:
                self._fail(is_probe)
            raise
        finally:
            self._is_probing &= not is_probe

    def _admit(self) -> bool:
        if self._opened_at is None:
            return False
        left = self._opened_at + self._pause - self._clock()
        if left > 0 or self._is_probing:
            raise AICircuitOpen("It is not asked for a moment. Try again later.", max(1, math.ceil(left)))
        self._is_probing = True
        return True

    def _succeed(self, is_probe: bool) -> None:
        self._failures.clear()
        if is_probe:
            self._opened_at = None

    def _fail(self, is_probe: bool) -> None:
        now = self._clock()
        self._failures.append(now)
        # A call from before it opened does not keep it open for longer.
        if is_probe or (self._opened_at is None and self._are_too_many(now)):
            self._opened_at = now

    def _are_too_many(self, now: float) -> bool:
        return len(self._failures) == self._failures.maxlen and now - self._failures[0] <= self._window


class Budget:
    """One for the process: how many calls at once, and whether any."""

    def __init__(self, settings: AISettings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._admission = Admission(settings.ai_max_in_flight, settings.ai_place_timeout)
        self._breaker = CircuitBreaker(settings, clock)

    @asynccontextmanager
    async def admit(self) -> AsyncIterator["Allowance"]:
        """To be held around a call, to its very end. Raises `AICircuitOpen`, `AISaturated`."""
        started = asyncio.get_running_loop().time()
        with self._breaker.watch() as is_probe:
            async with self._place():
                yield Allowance(self._settings, started, 1 if is_probe else self._settings.ai_max_attempts)

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


class Allowance:
    """What one call may spend."""

    def __init__(self, settings: AISettings, started: float, attempts: int) -> None:
        self._settings, self._started, self._attempts = settings, started, attempts

    async def spend(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the first attempt returns that does not fail fast.

        Raises `AITimeout` at the deadline or for a `TimeoutError`, else what the last attempt raises: of a
        `FastFailure`, its `error`.
        """
        # Timeouts of the SDK count from byte to byte: a body that trickles has no end for them.
        with _told():
            async with asyncio.timeout_at(self._started + self._settings.ai_deadline):
                return await self._attempt_in_turn(attempt)

    async def _attempt_in_turn(self, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            self._attempts -= 1
            try:
                return await attempt()
            except FastFailure as failure:
                delay = random.uniform(*RETRY_DELAY) if failure.delay is None else failure.delay
                if not self._has_another(delay):
                    raise
            await asyncio.sleep(delay)

    def _has_another(self, delay: float) -> bool:
        """Whether an attempt is left, and fits as a whole: one that the deadline is bound to cut is only paid for."""
        needed = delay + self._settings.ai_connect_timeout + self._settings.ai_read_timeout
        left = self._started + self._settings.ai_deadline - asyncio.get_running_loop().time()
        return self._attempts > 0 and needed <= left

    async def pace(self, events: AsyncIterator[T]) -> AsyncGenerator[T]:
        """The events, each in time for itself, and all of them in time for a stream.

        Raises `AITimeout`, and of a `FastFailure` its `error`: what has been passed on cannot be asked for again.
        """
        end = self._started + self._settings.ai_stream_deadline
        while True:
            with _told():
                async with asyncio.timeout(self._settings.ai_stream_event_timeout), asyncio.timeout_at(end):
                    event = await anext(events, None)
            if event is None:
                return
            yield event


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FastFailure as failure:
        raise failure.error from None
    except TimeoutError:
        raise AITimeout("The AI provider did not answer in time. Ask for less, or try again.") from None
