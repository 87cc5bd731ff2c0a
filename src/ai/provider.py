"""The provider, called with the official SDK. No other module imports the SDK."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI

from src.ai import provider_errors
from src.ai.answer_reader import AnswerReader, broken_off
from src.ai.call_limits import CallBudget
from src.ai.config import AISettings
from src.ai.exceptions import (
    AIProviderAuthenticationFailed,
    AIProviderUnavailable,
    AITimeout,
    TransientFailure,
)
from src.ai.http_client import BoundedClient
from src.ai.prompt import OutputFormat, Prompt
from src.ai.provider_schemas import Answer
from src.ai.telemetry import Call

# At LOG_LEVEL=DEBUG these loggers print URLs and headers, which hold secrets.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# The characters that a header can hold (RFC 9110, 5.5), without spaces.
_API_KEY = re.compile(r"[\x21-\x7e]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

# Bytes. A slice of the shortest events there are takes some milliseconds.
_SLICE_SIZE = 4_096
# Seconds. After a piece of a fast stream the next read waits so long, and then finds several pieces, which takes less
# CPU than a read for each (tests/benchmarks/README.md). What was there at once needed no read of its own.
_PAUSE, _AT_ONCE = 0.02, 0.0003
# Seconds to wait for the end of a body whose last event has come.
_DRAIN_SECONDS = 0.05


class Provider:
    """Makes single attempts at a call: no retry."""

    def __init__(self, settings: AISettings, key: str) -> None:
        """Raises `AIProviderAuthenticationFailed`, `AIProviderUnavailable`."""
        if not _API_KEY.fullmatch(key):
            raise AIProviderAuthenticationFailed("OPENAI_API_KEY is malformed; the operator has to correct it.")
        # The budget of a call limits all other waits.
        timeout = httpx2.Timeout(None, connect=settings.ai_connect_timeout)
        try:
            http_client = BoundedClient(timeout)
        except (ImportError, OSError, ValueError):
            # ALL_PROXY, HTTPS_PROXY, SSL_CERT_FILE or SSL_CERT_DIR in the environment names something unusable.
            raise AIProviderUnavailable("The operator has to correct this service's proxy or certificates.") from None
        self._sdk = AsyncOpenAI(
            api_key=key, base_url=str(settings.openai_base_url), timeout=timeout, max_retries=0, http_client=http_client
        )
        # The SDK has read these from the environment, which would bypass the settings.
        self._sdk.organization = self._sdk.project = None
        # The SDK imports this API when it is first read: now, so that no call waits for the import.
        self._responses = self._sdk.responses.with_raw_response

    async def close(self) -> None:
        await self._sdk.close()

    async def complete(self, call: Call, budget: CallBudget) -> Answer:
        """Make one attempt; return the whole answer. Raises what `_read` raises."""
        answer = None
        async with aclosing(self._read(call, budget)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    answer = event
        assert answer
        return answer

    async def stream(self, call: Call, budget: CallBudget) -> AsyncGenerator[str | Answer]:
        """Make one attempt; return the rest of what `_read` yields as soon as the model makes progress."""
        events = self._read(call, budget)
        await anext(events)
        return events

    async def _read(self, call: Call, budget: CallBudget) -> AsyncGenerator[str | Answer]:
        """Yield an empty text when the model first makes progress, then the answer's text in pieces, last the `Answer`.

        Raises `AIError`, `TransientFailure`, and `TimeoutError` where `budget` is spent.
        """
        call.attempts += 1
        with _translate_sdk_errors(call):
            async with budget.limit_wait():
                response = (await self._responses.create(**_request_body(call.prompt), stream=True)).http_response
        budget.end_wait()
        call.provider_request_id = _request_id(response.headers)
        reader, has_begun = AnswerReader(call.prompt.max_output_tokens, response.headers), False
        async with aclosing(_slices(response, budget, reader)) as slices:
            async for data in slices:
                for event in reader.feed(data) if data else reader.finish():
                    budget.note_progress()
                    if not has_begun:
                        has_begun = True
                        yield ""
                    yield event
                    if isinstance(event, Answer):
                        await _drain(slices)
                        return


async def _slices(response: httpx2.Response, budget: CallBudget, reader: AnswerReader) -> AsyncGenerator[bytes]:
    """Yield the body in slices, and an empty one when it has ended. Other tasks run after each `_SLICE_SIZE` bytes.

    The first piece of text comes at once, later ones of a fast stream up to `_PAUSE` later.

    Raises `TransientFailure` if the connection breaks, `TimeoutError` where `budget` is spent.
    """
    unpaused = 0
    async with aclosing(response.aiter_raw()) as chunks:
        while True:
            try:
                async with budget.limit_wait():
                    chunk = await anext(chunks, b"")
            except httpx2.RequestError:
                raise broken_off() from None
            waited = budget.end_wait()
            for start in range(0, len(chunk) or 1, _SLICE_SIZE):
                yield chunk[start : start + _SLICE_SIZE]
                unpaused += min(len(chunk), _SLICE_SIZE)
                if unpaused >= _SLICE_SIZE:
                    unpaused = 0
                    await asyncio.sleep(0)
            if not chunk:
                return
            if reader.has_text and _AT_ONCE < waited < _PAUSE:
                await asyncio.sleep(_PAUSE)


async def _drain(slices: AsyncGenerator[bytes]) -> None:
    """Read the end of the body, if it comes soon: only then can the connection be used again."""
    with suppress(TimeoutError, TransientFailure):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in slices:
                pass


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
        # Only connecting has a limit in the SDK.
        raise AITimeout("The AI provider accepts no connection. Try again later.") from None
    except openai.APIConnectionError:
        raise TransientFailure(AIProviderUnavailable("The AI provider cannot be reached. Try again later.")) from None


def _request_id(headers: Mapping[str, str]) -> str | None:
    request_id = headers.get("x-request-id", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else None
