"""The only door to the provider: the official SDK, within a budget, recorded."""

import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai._streaming import ServerSentEvent, SSEDecoder

# Named here so that it is imported at the start: left to the SDK it is imported, for 0.1 s, in the first call.
from openai.resources.responses import AsyncResponsesWithRawResponse

from src.ai import answers, failures
from src.ai.answers import Answer, Delta
from src.ai.budget import Budget
from src.ai.config import AISettings
from src.ai.exceptions import (
    AIError,
    AIInvalidProviderResponse,
    AINotConfigured,
    AIProviderAuthenticationFailed,
    AIProviderUnavailable,
    FastFailure,
)
from src.ai.failures import Headers
from src.ai.prompt import OutputFormat, Prompt
from src.ai.telemetry import Call, recorded
from src.ai.transport import BoundedClient

# At LOG_LEVEL=DEBUG they print URLs and headers: what those hold is not for a log.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# What a header can hold (RFC 9110, 5.5), without spaces.
_KEY = re.compile(r"[\x21-\x7e]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _Decoder(SSEDecoder):
    """Without events that hold no data (HTML, 9.2.6: they are none), on which the SDK fails: `retry: 3000`, say.

    The SDK makes one of every blank line that comes after an `id`.
    """

    def decode(self, line: str) -> ServerSentEvent | None:
        event = super().decode(line)
        return event if event and event.data else None


class _SDK(AsyncOpenAI):
    def _make_sse_decoder(self) -> _Decoder:
        return _Decoder()


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
        self._sdk: AsyncOpenAI | None = None
        with suppress(AIError):
            self._sdk = _open(settings)

    @property
    def configured(self) -> bool:
        return self.settings.openai_api_key is not None

    async def close(self) -> None:
        if self._sdk:
            await self._sdk.close()

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer. Raises `AIError`."""
        with recorded(prompt, self.settings.openai_base_url) as call:
            responses = self._responses()
            async with self._budget.admit() as allowance:
                call.answer = await allowance.spend(partial(_ask, responses, call))
        return _completion(call, call.answer)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Completion]:
        """An empty piece when the provider has begun, the text in pieces, then the whole answer.

        Raises `AIError`: an answer that breaks off is no answer.
        """
        with recorded(prompt, self.settings.openai_base_url) as call:
            responses = self._responses()
            async with self._budget.admit() as allowance:
                begun = await allowance.spend(partial(_begin, responses, call, self.settings))
                yield Delta()
                async with aclosing(begun), aclosing(allowance.pace(begun)) as events:
                    async for event in events:
                        if isinstance(event, Answer):
                            call.answer = event
                        elif event.text:
                            yield event
        assert call.answer
        yield _completion(call, call.answer)

    def _responses(self) -> AsyncResponsesWithRawResponse:
        """Raises what `_open` raises."""
        return (self._sdk or _open(self.settings)).responses.with_raw_response


async def _ask(responses: AsyncResponsesWithRawResponse, call: Call) -> Answer:
    """One attempt at the whole answer. Raises `AIError`, `FastFailure`, `TimeoutError`."""
    call.attempts += 1
    with _translated(call):
        response = await responses.create(**_parameters(call.prompt), stream=False)
    call.provider_request_id = _request_id(response.headers)
    return answers.read_answer(response.content, response.headers)


async def _begin(
    responses: AsyncResponsesWithRawResponse, call: Call, settings: AISettings
) -> AsyncGenerator[Delta | Answer]:
    """One attempt at a stream: its events, of which the first has arrived. Raises what `_ask` raises."""
    call.attempts += 1
    with _translated(call):
        response = await responses.create(
            **_parameters(call.prompt),
            stream=True,
            timeout=httpx2.Timeout(settings.ai_stream_event_timeout, connect=settings.ai_connect_timeout),
        )
    call.provider_request_id = _request_id(response.headers)
    events = _events(response.parse(to=AsyncStream[object]), response.headers, call)
    await anext(events)
    return events


async def _events(stream: AsyncStream[object], headers: Headers, call: Call) -> AsyncGenerator[Delta | Answer]:
    """An empty piece when there is a first event, then what the events bring. The last one is the answer."""
    has_begun = False
    with _translated(call):
        async with stream:
            async for data in stream:
                event = answers.read_event(data, headers)
                if event is None:
                    continue
                if not has_begun:
                    has_begun = True
                    yield Delta()
                yield event
                if isinstance(event, Answer):
                    return
    raise AIInvalidProviderResponse("The AI provider's answer was cut short.")


def _parameters(prompt: Prompt) -> dict[str, Any]:
    """What is left out is the model's to choose."""
    chosen = {
        "instructions": prompt.instructions,
        "temperature": prompt.temperature,
        "reasoning": prompt.reasoning_effort and {"effort": prompt.reasoning_effort},
        "text": prompt.output_format and {"format": _format(prompt.output_format)},
    }
    return {
        "model": prompt.model,
        "input": prompt.input,
        "max_output_tokens": prompt.max_output_tokens,
        "store": False,
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _format(wanted: OutputFormat) -> dict[str, Any]:
    return {"type": "json_schema", "name": wanted.name, "schema": wanted.schema, "strict": True}


@contextmanager
def _translated(call: Call) -> Iterator[None]:
    """The SDK's errors become those of the domain: theirs hold the prompt and the key."""
    try:
        yield
    except openai.APIStatusError as error:
        call.provider_request_id = _request_id(error.response.headers)
        raise failures.failure(error.status_code, error.response.headers, error.body) from None
    except openai.APITimeoutError:
        raise TimeoutError from None
    except openai.APIConnectionError:
        raise FastFailure(AIProviderUnavailable("The AI provider cannot be reached. Try again later.")) from None
    except openai.APIError as error:
        # An event of a stream that is an error.
        raise failures.late_failure({}, error.body) from None
    except (ValueError, RecursionError):
        # An event of a stream that is no JSON, or no text.
        raise AIInvalidProviderResponse("The AI provider did not answer as its API should.") from None


def _completion(call: Call, answer: Answer) -> Completion:
    return Completion(call.prompt, answer, call.attempts, call.latency_ms, call.provider_request_id)


def _request_id(headers: Mapping[str, str]) -> str | None:
    offered = headers.get("x-request-id", "")
    return offered if _REQUEST_ID.fullmatch(offered) else None


def _open(settings: AISettings) -> AsyncOpenAI:
    """Raises `AINotConfigured`, `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
    if settings.openai_api_key is None:
        raise AINotConfigured("The operator of this service has to set OPENAI_API_KEY.")
    key = settings.openai_api_key.get_secret_value()
    if not _KEY.fullmatch(key):
        raise AIProviderAuthenticationFailed("OPENAI_API_KEY is malformed; the operator has to correct it.")
    timeout = httpx2.Timeout(settings.ai_read_timeout, connect=settings.ai_connect_timeout)
    try:
        http_client = BoundedClient(timeout)
    except (ImportError, OSError, ValueError):
        # What ALL_PROXY, HTTPS_PROXY, SSL_CERT_FILE or SSL_CERT_DIR of the environment names cannot be used.
        raise AIProviderUnavailable("The operator has to correct this service's proxy or certificates.") from None
    sdk = _SDK(
        api_key=key, base_url=str(settings.openai_base_url), timeout=timeout, max_retries=0, http_client=http_client
    )
    # Left out above, they are read from the environment, past the settings.
    sdk.organization = sdk.project = None
    return sdk
