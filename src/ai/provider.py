"""The provider, called with the official SDK. No other module imports the SDK."""

import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream
from openai._streaming import ServerSentEvent, SSEDecoder
from typing_extensions import override

from src.ai import provider_errors, provider_schemas
from src.ai.config import AISettings
from src.ai.exceptions import (
    AIInvalidProviderResponse,
    AIProviderAuthenticationFailed,
    AIProviderUnavailable,
    TransientFailure,
)
from src.ai.http_client import BoundedClient
from src.ai.prompt import OutputFormat, Prompt
from src.ai.provider_errors import Headers
from src.ai.provider_schemas import Answer, Delta
from src.ai.telemetry import Call

# At LOG_LEVEL=DEBUG these loggers print URLs and headers, which hold secrets.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# The characters that a header can hold (RFC 9110, 5.5), without spaces.
_API_KEY = re.compile(r"[\x21-\x7e]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _EventDecoder(SSEDecoder):
    """Skips events without data, as HTML (9.2.6) demands; the SDK fails on them.

    Such an event is `retry: 3000`, say, and for the SDK every blank line after an `id`.
    """

    @override
    def decode(self, line: str) -> ServerSentEvent | None:
        event = super().decode(line)
        return event if event and event.data else None


class _SDK(AsyncOpenAI):
    """The SDK's client with our decoder. The provider sees the name of this class in `User-Agent`."""

    @override
    def _make_sse_decoder(self) -> _EventDecoder:
        return _EventDecoder()


class Provider:
    """Makes single attempts at a call: no retry, no deadline."""

    def __init__(self, settings: AISettings, key: str) -> None:
        """Raises `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
        if not _API_KEY.fullmatch(key):
            raise AIProviderAuthenticationFailed("OPENAI_API_KEY is malformed; the operator has to correct it.")
        timeout = httpx2.Timeout(settings.ai_read_timeout, connect=settings.ai_connect_timeout)
        try:
            http_client = BoundedClient(timeout)
        except (ImportError, OSError, ValueError):
            # ALL_PROXY, HTTPS_PROXY, SSL_CERT_FILE or SSL_CERT_DIR in the environment names something unusable.
            raise AIProviderUnavailable("The operator has to correct this service's proxy or certificates.") from None
        self._settings = settings
        self._sdk = _SDK(
            api_key=key, base_url=str(settings.openai_base_url), timeout=timeout, max_retries=0, http_client=http_client
        )
        # The SDK has read these from the environment, which would bypass the settings.
        self._sdk.organization = self._sdk.project = None
        # The SDK imports this API when it is first read: now, so that no call waits for the import.
        self._responses = self._sdk.responses.with_raw_response

    async def close(self) -> None:
        await self._sdk.close()

    async def complete(self, call: Call) -> Answer:
        """Make one attempt; return the whole answer. Raises `AIError`, `TransientFailure`, `TimeoutError`."""
        call.attempts += 1
        with _translate_sdk_errors(call):
            response = await self._responses.create(**_request_body(call.prompt), stream=False)
        call.provider_request_id = _request_id(response.headers)
        return provider_schemas.parse_answer(response.content, response.headers)

    async def stream(self, call: Call) -> AsyncGenerator[Delta | Answer]:
        """Make one attempt; return the stream's events as soon as the first has arrived. Raises what `complete` raises.

        The last event is the `Answer`.
        """
        call.attempts += 1
        timeout = httpx2.Timeout(self._settings.ai_stream_event_timeout, connect=self._settings.ai_connect_timeout)
        with _translate_sdk_errors(call):
            response = await self._responses.create(**_request_body(call.prompt), stream=True, timeout=timeout)
        call.provider_request_id = _request_id(response.headers)
        events = _parse_events(response.parse(to=AsyncStream[object]), response.headers, call)
        await anext(events)
        return events


async def _parse_events(stream: AsyncStream[object], headers: Headers, call: Call) -> AsyncGenerator[Delta | Answer]:
    """Yield an empty `Delta` when the first event has arrived, then what each event holds, last the `Answer`."""
    has_begun = False
    with _translate_sdk_errors(call):
        async with stream:
            async for data in stream:
                event = provider_schemas.parse_event(data, headers)
                if event is None:
                    continue
                if not has_begun:
                    has_begun = True
                    yield Delta()
                yield event
                if isinstance(event, Answer):
                    return
    raise AIInvalidProviderResponse("The AI provider's answer was cut short.")


def _request_body(prompt: Prompt) -> dict[str, Any]:
    """Leaves out what the prompt leaves open: the model's defaults hold then."""
    optional = {
        "instructions": prompt.instructions,
        "temperature": prompt.temperature,
        "reasoning": prompt.reasoning_effort and {"effort": prompt.reasoning_effort},
        "text": prompt.output_format and {"format": _text_format(prompt.output_format)},
    }
    return {
        "model": prompt.model,
        "input": prompt.input,
        "max_output_tokens": prompt.max_output_tokens,
        "store": False,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _text_format(output_format: OutputFormat) -> dict[str, Any]:
    return {"type": "json_schema", "name": output_format.name, "schema": output_format.schema, "strict": True}


@contextmanager
def _translate_sdk_errors(call: Call) -> Iterator[None]:
    """Raise the domain's errors instead of the SDK's, which hold the prompt and the key."""
    try:
        yield
    except openai.APIStatusError as error:
        call.provider_request_id = _request_id(error.response.headers)
        raise provider_errors.error_from_status(error.status_code, error.response.headers, error.body) from None
    except openai.APITimeoutError:
        raise TimeoutError from None
    except openai.APIConnectionError:
        raise TransientFailure(AIProviderUnavailable("The AI provider cannot be reached. Try again later.")) from None
    except openai.APIError as error:
        # The SDK raises this for an event of a stream that is an error.
        raise provider_errors.error_from_body({}, error.body) from None
    except (ValueError, RecursionError):
        # An event of a stream is not JSON, or not UTF-8.
        raise AIInvalidProviderResponse("The AI provider did not answer as its API should.") from None


def _request_id(headers: Mapping[str, str]) -> str | None:
    request_id = headers.get("x-request-id", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else None
