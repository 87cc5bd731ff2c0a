"""The circuit breaker: it stops calls to a provider that keeps failing."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from src.ai.config import AISettings
from src.ai.exceptions import AICircuitOpen, AIError

Clock = Callable[[], float]


class CircuitBreaker:
    """Protects a failing provider from more calls, and callers from waiting for it.

    After `ai_breaker_failures` outages in a row within `ai_breaker_window` the breaker opens and refuses calls for
    `ai_breaker_pause`. Then it lets one call through, the probe. If the probe succeeds, the breaker closes; if the
    probe meets an outage, the breaker stays open for another pause.

    Errors with `is_outage` are outages. Other errors and cancelled calls neither count as outages nor reset the count.

    https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
    """

    def __init__(self, settings: AISettings, clock: Clock = time.monotonic) -> None:
        """`clock` returns seconds, and never goes back."""
        self._window, self._pause, self._clock = settings.ai_breaker_window, settings.ai_breaker_pause, clock
        self._outages: deque[float] = deque(maxlen=settings.ai_breaker_failures)
        self._opened_at: float | None = None
        self._is_probing = False

    @contextmanager
    def guard(self) -> Iterator[bool]:
        """Enter this around a call. It yields whether the call is the probe.

        Raises `AICircuitOpen` if the breaker refuses the call, else what the call raises.
        """
        is_probe = self._admit()
        try:
            yield is_probe
            self._record_success(is_probe)
        except AIError as error:
            if error.is_outage:
                self._record_outage(is_probe)
            raise
        finally:
            self._is_probing &= not is_probe

    def _admit(self) -> bool:
        """Return whether the call is the probe. Raises `AICircuitOpen`."""
        if self._opened_at is None:
            return False
        left = self._opened_at + self._pause - self._clock()
        if left > 0 or self._is_probing:
            raise AICircuitOpen("The provider is not called for a moment. Try again later.", max(1, math.ceil(left)))
        self._is_probing = True
        return True

    def _record_success(self, is_probe: bool) -> None:
        self._outages.clear()
        if is_probe:
            self._opened_at = None

    def _record_outage(self, is_probe: bool) -> None:
        now = self._clock()
        self._outages.append(now)
        # Calls that began before the breaker opened may fail while it is open; they do not prolong the pause.
        if is_probe or (self._opened_at is None and self._is_limit_reached(now)):
            self._opened_at = now

    def _is_limit_reached(self, now: float) -> bool:
        return len(self._outages) == self._outages.maxlen and now - self._outages[0] <= self._window
