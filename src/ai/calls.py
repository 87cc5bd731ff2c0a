"""Calls of the provider: within a budget, and recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from src.ai.answers import Answer, Delta
from src.ai.budget import Budget
from src.ai.config import AISettings
from src.ai.exceptions import AIError, AINotConfigured
from src.ai.prompt import Prompt
from src.ai.telemetry import Call, recorded

if TYPE_CHECKING:
    from src.ai.client import Provider


@dataclass(frozen=True)
class Completion:
    """An answer, and what it took: `latency_ms` is with every attempt."""

    prompt: Prompt
    answer: Answer
    attempts: int
    latency_ms: float
    provider_request_id: str | None


class AIClient:
    """One for the process. What is wrong with the key is said at each call: everything else works without."""

    def __init__(self, settings: AISettings) -> None:
        self.settings = settings
        self._budget = Budget(settings)
        self._opened: Provider | None = None
        with suppress(AIError):
            self._opened = _open(settings)

    @property
    def configured(self) -> bool:
        return self.settings.openai_api_key is not None

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer. Raises `AIError`."""
        with recorded(prompt, self.settings.openai_base_url) as call:
            provider = self._provider()
            async with self._budget.admit() as allowance:
                call.answer = await allowance.spend(partial(provider.ask, call))
        return _completion(call, call.answer)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Completion]:
        """An empty piece when the provider has begun, the text in pieces, then the whole answer.

        Raises `AIError`: an answer that breaks off is no answer.
        """
        with recorded(prompt, self.settings.openai_base_url) as call:
            provider = self._provider()
            async with self._budget.admit() as allowance:
                begun = await allowance.spend(partial(provider.begin, call))
                yield Delta()
                async with aclosing(begun), aclosing(allowance.pace(begun)) as events:
                    async for event in events:
                        if isinstance(event, Answer):
                            call.answer = event
                        elif event.text:
                            yield event
        assert call.answer
        yield _completion(call, call.answer)

    def _provider(self) -> Provider:
        """Raises what `_open` raises."""
        return self._opened or _open(self.settings)


def _completion(call: Call, answer: Answer) -> Completion:
    return Completion(call.prompt, answer, call.attempts, call.latency_ms, call.provider_request_id)


def _open(settings: AISettings) -> Provider:
    """Raises `AINotConfigured`, `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
    if settings.openai_api_key is None:
        raise AINotConfigured("The operator of this service has to set OPENAI_API_KEY.")
    # Here, and not above: half a second of each start, and 15 MB, which a process without a key is spared.
    from src.ai.client import Provider

    return Provider(settings, settings.openai_api_key.get_secret_value())
