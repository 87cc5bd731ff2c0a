"""The provider, called with the official SDK. No other module imports the SDK."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
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
_NOT_REACHED = "Try again later. If it stays so, the operator has to look at the server at OPENAI_BASE_URL."
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

# Bytes, and seconds. A part of the shortest events there are takes some milliseconds.
_PART_SIZE, _TURN = 16_384, 0.002
# Seconds. A piece of a fast stream waits so long for those after it: to read and send them together takes less CPU than
# one by one (tests/benchmarks/README.md). What was there at once came in the same read, and does not wait.
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

    async def answer(self, call: Call, budget: CallBudget, take: Callable[[str], None]) -> Answer:
        """Make one attempt; return the whole answer.

        `take` is called with each piece of the text as it comes, and with an empty one if the model makes progress
        without text. Raises `AIError`, `TransientFailure`, and `TimeoutError` where `budget` is spent.
        """

        def note_progress(text: str) -> None:
            budget.note_progress()
            take(text)

        call.attempts += 1
        with _translate_sdk_errors(call):
            async with budget.limit_time():
                response = (await self._responses.create(**_request_body(call.prompt), stream=True)).http_response
        call.provider_request_id = _request_id(response.headers)
        reader = AnswerReader(call.prompt, response.headers, note_progress)
        async with aclosing(response), aclosing(_parts(response, reader)) as parts:
            async with budget.limit_time():
                answer = await _read(parts, reader)
            await _drain(parts)
            return answer


async def _read(parts: AsyncGenerator[bytes], reader: AnswerReader) -> Answer:
    async for part in parts:
        if answer := reader.feed(part):
            return answer
    return reader.finish()


async def _parts(response: httpx2.Response, reader: AnswerReader) -> AsyncGenerator[bytes]:
    """Yield the body as it arrives, in parts that take little time to read. Other tasks run after each `_TURN`.

    The first piece of text comes at once, later ones of a fast stream up to `_PAUSE` later.

    Raises `TransientFailure` if the connection breaks.
    """
    turn_began = last_read = time.monotonic()
    async with aclosing(response.aiter_raw()) as chunks:
        while chunk := await _next(chunks):
            waited = time.monotonic() - last_read
            if waited > _AT_ONCE:
                if reader.has_text and waited < _PAUSE:
                    await asyncio.sleep(_PAUSE)
                turn_began = time.monotonic()
            for start in range(0, len(chunk), _PART_SIZE):
                yield chunk[start : start + _PART_SIZE]
                last_read = time.monotonic()
                if last_read - turn_began > _TURN:
                    await asyncio.sleep(0)
                    turn_began = last_read = time.monotonic()


async def _next(chunks: AsyncGenerator[bytes]) -> bytes:
    """Return the next chunk, which is empty at the end of the body."""
    try:
        return await anext(chunks, b"")
    except httpx2.RequestError:
        raise broken_off() from None


async def _drain(parts: AsyncGenerator[bytes]) -> None:
    """Read the end of the body, if it comes soon: only then can the connection be used again."""
    with suppress(TimeoutError, TransientFailure):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in parts:
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
        raise AITimeout(f"The AI provider accepts no connection. {_NOT_REACHED}") from None
    except openai.APIConnectionError:
        raise TransientFailure(AIProviderUnavailable(f"The AI provider cannot be reached. {_NOT_REACHED}")) from None


def _request_id(headers: Mapping[str, str]) -> str | None:
    request_id = headers.get("x-request-id", "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else None
