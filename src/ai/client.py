"""The client that the domain's services call: it limits and records each call to the provider."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from src.ai.call_limits import CallLimiter
from src.ai.config import AISettings
from src.ai.exceptions import AIError, AINotConfigured
from src.ai.prompt import Prompt
from src.ai.provider_schemas import Answer, Delta
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
        with suppress(AIError):
            self._provider = _create_provider(settings)

    @property
    def configured(self) -> bool:
        return self.settings.openai_api_key is not None

    async def close(self) -> None:
        if self._provider:
            await self._provider.close()

    async def complete(self, prompt: Prompt) -> Completion:
        """Return the whole answer. Raises `AIError`."""
        with record_call(prompt, self.settings.openai_base_url) as call:
            provider = self._get_provider()
            async with self._limiter.admit() as budget:
                call.answer = await budget.run(partial(provider.complete, call))
        return _completion(call, call.answer)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Completion]:
        """Yield an empty `Delta` when the provider has begun, the text in pieces, and at the end the whole answer.

        Raises `AIError`, also after some of the text; then no `Completion` comes.
        """
        with record_call(prompt, self.settings.openai_base_url) as call:
            provider = self._get_provider()
            async with self._limiter.admit() as budget:
                stream = await budget.run(partial(provider.stream, call))
                yield Delta()
                async with aclosing(stream), aclosing(budget.limit_stream(stream)) as events:
                    async for event in events:
                        if isinstance(event, Answer):
                            call.answer = event
                        elif event.text:
                            yield event
        assert call.answer
        yield _completion(call, call.answer)

    def _get_provider(self) -> Provider:
        """Raises what `_create_provider` raises."""
        return self._provider or _create_provider(self.settings)


def _completion(call: Call, answer: Answer) -> Completion:
    return Completion(call.prompt, answer, call.attempts, call.latency_ms, call.provider_request_id)


def _create_provider(settings: AISettings) -> Provider:
    """Raises `AINotConfigured`, `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
    if settings.openai_api_key is None:
        raise AINotConfigured("The operator of this service has to set OPENAI_API_KEY.")
    # Imported only where there is a key, since the SDK slows the start: tests/benchmarks/README.md.
    from src.ai.provider import Provider

    return Provider(settings, settings.openai_api_key.get_secret_value())
