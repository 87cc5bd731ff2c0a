"""The client that the domain's services call: it limits and records each call to the provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from src.ai.call_limits import CallBudget, CallLimiter
from src.ai.config import AISettings
from src.ai.exceptions import AIError, AINotConfigured, AIProviderRejectedRequest
from src.ai.prompt import Prompt
from src.ai.provider_schemas import Answer
from src.ai.telemetry import Call, record_call

if TYPE_CHECKING:
    from src.ai.provider import Provider


@dataclass(frozen=True)
class Completion:
    """An answer with its prompt and what the call took. `latency_ms` covers all attempts."""

    prompt: Prompt
    answer: Answer
    attempts: int
    latency_ms: float
    provider_request_id: str | None


class AIClient:
    """Calls the provider. There is one client for each process.

    With a missing or malformed key the process starts all the same, since other endpoints need none. Then each call
    raises the error.
    """

    def __init__(self, settings: AISettings) -> None:
        self.settings = settings
        self._limiter = CallLimiter(settings)
        self._provider: Provider | None = None
        self.leave: Callable[[], None] = lambda: None
        with suppress(AIError):
            self._provider = _create_provider(settings)

    @property
    def configured(self) -> bool:
        return self.settings.openai_api_key is not None

    async def close(self) -> None:
        if self._provider:
            await self._provider.close()

    def for_request(self, leave: Callable[[], None]) -> Self:
        """Return this client for one request, which calls `leave` before it first waits for the provider."""
        client = copy(self)
        client.leave = leave
        return client

    async def complete(self, prompt: Prompt, ends: float | None = None) -> Completion:
        """Return the whole answer. Raises `AIError`.

        The call ends at `ends`, by the event loop's clock in seconds; calls that share a deadline share it. Without
        `ends` the call has `ai_deadline`.
        """
        ends = self.ends_in(self.settings.ai_deadline) if ends is None else ends
        return await self._call(prompt, self._limiter.admit(ends), lambda _: None)

    @staticmethod
    def ends_in(seconds: float) -> float:
        """Return when a call ends that begins now and may take so long, for `complete`."""
        return asyncio.get_running_loop().time() + seconds

    async def stream(self, prompt: Prompt) -> AsyncGenerator[list[str] | Completion]:
        """Yield an empty list when the provider has begun, then the text in pieces, last the whole answer.

        Pieces that arrive together come together. Raises `AIError`, also after some of the text; then no `Completion`
        comes.
        """
        progress, has_progressed = list[str](), asyncio.Event()

        def take(text: str) -> None:
            progress.append(text)
            has_progressed.set()

        place = self._limiter.admit_stream(self.ends_in(self.settings.ai_stream_deadline))
        call = asyncio.create_task(self._call(prompt, place, take))
        call.add_done_callback(lambda _: has_progressed.set())
        try:
            await has_progressed.wait()
            if not progress:
                call.result()
            yield []
            is_done = False
            while not is_done:
                has_progressed.clear()
                is_done = call.done()
                pieces = [text for text in progress if text]
                progress.clear()
                if pieces:
                    yield pieces
                if not is_done:
                    await has_progressed.wait()
            yield call.result()
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def _call(
        self, prompt: Prompt, place: AbstractAsyncContextManager[CallBudget], take: Callable[[str], None]
    ) -> Completion:
        with record_call(prompt, self.settings.openai_base_url) as call, _name_what_was_sent(prompt):
            provider = self._get_provider()
            self.leave()
            async with place as budget:
                call.answer = await budget.run(partial(provider.answer, call, budget, take))
        return _completion(call, call.answer)

    def _get_provider(self) -> Provider:
        """Raises what `_create_provider` raises."""
        return self._provider or _create_provider(self.settings)


def _completion(call: Call, answer: Answer) -> Completion:
    return Completion(call.prompt, answer, call.attempts, call.latency_ms, call.provider_request_id)


@contextmanager
def _name_what_was_sent(prompt: Prompt) -> Iterator[None]:
    """Complete an `AIProviderRejectedRequest`: the provider's own reason is not shown, since it can hold the prompt."""
    try:
        yield
    except AIProviderRejectedRequest:
        options = {"temperature": prompt.temperature, "reasoning_effort": prompt.reasoning_effort}
        if sent := [name for name, value in options.items() if value is not None]:
            raise AIProviderRejectedRequest(f"Leave out {' and '.join(sent)}, which not every model takes.") from None
        raise AIProviderRejectedRequest("The operator finds the reason in the provider's log.") from None


def _create_provider(settings: AISettings) -> Provider:
    """Raises `AINotConfigured`, `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
    if settings.openai_api_key is None:
        raise AINotConfigured("The operator of this service has to set OPENAI_API_KEY.")
    # Imported only where there is a key, since the SDK slows the start: tests/benchmarks/README.md.
    from src.ai.provider import Provider

    return Provider(settings, settings.openai_api_key.get_secret_value())
