"""The only door to the provider: the official SDK, whose errors become those of the domain."""

import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai._streaming import ServerSentEvent, SSEDecoder

from src.ai import answers, failures
from src.ai.answers import Answer, Delta
from src.ai.config import AISettings
from src.ai.exceptions import (
    AIInvalidProviderResponse,
    AIProviderAuthenticationFailed,
    AIProviderUnavailable,
    FastFailure,
)
from src.ai.failures import Headers
from src.ai.prompt import OutputFormat, Prompt
from src.ai.telemetry import Call
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


class Provider:
    """One attempt at an answer, or at a stream."""

    def __init__(self, settings: AISettings, key: str) -> None:
        """Raises `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
        if not _KEY.fullmatch(key):
            raise AIProviderAuthenticationFailed("OPENAI_API_KEY is malformed; the operator has to correct it.")
        timeout = httpx2.Timeout(settings.ai_read_timeout, connect=settings.ai_connect_timeout)
        try:
            http_client = BoundedClient(timeout)
        except (ImportError, OSError, ValueError):
            # What ALL_PROXY, HTTPS_PROXY, SSL_CERT_FILE or SSL_CERT_DIR of the environment names cannot be used.
            raise AIProviderUnavailable("The operator has to correct this service's proxy or certificates.") from None
        self._settings = settings
        self._sdk = _SDK(
            api_key=key, base_url=str(settings.openai_base_url), timeout=timeout, max_retries=0, http_client=http_client
        )
        # Left out above, they are read from the environment, past the settings.
        self._sdk.organization = self._sdk.project = None
        # Asked for here, it is imported now, for 0.1 s, and not in the first call.
        self._responses = self._sdk.responses.with_raw_response

    async def close(self) -> None:
        await self._sdk.close()

    async def ask(self, call: Call) -> Answer:
        """One attempt at the whole answer. Raises `AIError`, `FastFailure`, `TimeoutError`."""
        call.attempts += 1
        with _translated(call):
            response = await self._responses.create(**_parameters(call.prompt), stream=False)
        call.provider_request_id = _request_id(response.headers)
        return answers.read_answer(response.content, response.headers)

    async def begin(self, call: Call) -> AsyncGenerator[Delta | Answer]:
        """One attempt at a stream: its events, of which the first has arrived. Raises what `ask` raises."""
        call.attempts += 1
        timeout = httpx2.Timeout(self._settings.ai_stream_event_timeout, connect=self._settings.ai_connect_timeout)
        with _translated(call):
            response = await self._responses.create(**_parameters(call.prompt), stream=True, timeout=timeout)
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


def _request_id(headers: Mapping[str, str]) -> str | None:
    offered = headers.get("x-request-id", "")
    return offered if _REQUEST_ID.fullmatch(offered) else None
