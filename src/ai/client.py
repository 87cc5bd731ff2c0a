"""The only door to the provider: the official SDK, on an HTTP client that bounds what it reads."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, omit

# Named here so that it is imported at the start: left to the SDK it is imported, for 0.1 s, in the first call.
from openai.resources.responses import AsyncResponsesWithRawResponse

from src.ai import provider
from src.ai.budget import Budget
from src.ai.config import AISettings
from src.ai.constants import MAX_PROVIDER_BODY_BYTES
from src.ai.exceptions import (
    AIError,
    AIInvalidProviderResponse,
    AINotConfigured,
    AIProviderAuthenticationFailed,
    AIProviderUnavailable,
    FastFailure,
)
from src.ai.provider import Answer
from src.ai.schemas import ResponseCreate

logger = logging.getLogger(__name__)

# At LOG_LEVEL=DEBUG they print URLs and headers: what those hold is not for a log.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

# What a header can hold (RFC 9110, 5.5), without spaces.
_KEY = re.compile(r"[\x21-\x7e]+")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass
class Call:
    """What is logged of a call: nothing of what was said in it."""

    model: str
    input_characters: int
    outcome: str = "failed"
    code: str | None = None
    attempts: int = 0
    latency_ms: float = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    provider_request_id: str | None = None


@dataclass(frozen=True)
class Completion:
    answer: Answer
    attempts: int
    latency_ms: float
    provider_request_id: str | None


class AIClient:
    """One for the process. What is wrong with the key is said at each call: everything else works without."""

    def __init__(self, settings: AISettings) -> None:
        self.settings = settings
        self._sdk: AsyncOpenAI | None = None
        with suppress(AIError):
            self._sdk = _open(settings)

    @property
    def configured(self) -> bool:
        return self.settings.openai_api_key is not None

    async def close(self) -> None:
        if self._sdk:
            await self._sdk.close()

    async def create_response(self, model: str, prompt: ResponseCreate) -> Completion:
        """Raises `AIError`."""
        sdk = self._sdk or _open(self.settings)
        call = Call(model=model, input_characters=len(prompt.input) + len(prompt.instructions or ""))
        budget = Budget(self.settings)
        with _recorded(call, budget):
            answer = await budget.spend(partial(_attempt, sdk.responses.with_raw_response, prompt, call))
            call.outcome = answer.status
            call.input_tokens, call.output_tokens = answer.usage.input_tokens, answer.usage.output_tokens
        return Completion(answer, call.attempts, call.latency_ms, call.provider_request_id)


@contextmanager
def _recorded(call: Call, budget: Budget) -> Iterator[None]:
    """One line for each call, however it ends."""
    started = time.perf_counter()
    try:
        yield
    except AIError as error:
        call.code = error.code
        raise
    except asyncio.CancelledError:
        call.outcome = "cancelled"
        raise
    finally:
        call.attempts = budget.attempts
        call.latency_ms = round((time.perf_counter() - started) * 1000, 2)
        logger.info("ai call", extra=asdict(call))


async def _attempt(responses: AsyncResponsesWithRawResponse, prompt: ResponseCreate, call: Call) -> Answer:
    """Raises `AIError`, `FastFailure`, `TimeoutError`; the SDK's own errors hold the prompt and the key."""
    try:
        response = await responses.create(
            model=call.model,
            input=prompt.input,
            instructions=omit if prompt.instructions is None else prompt.instructions,
            max_output_tokens=prompt.max_output_tokens,
            temperature=omit if prompt.temperature is None else prompt.temperature,
            reasoning=omit if prompt.reasoning_effort is None else {"effort": prompt.reasoning_effort},
            store=False,
            stream=False,
        )
    except openai.APIStatusError as error:
        call.provider_request_id = _request_id(error.response.headers)
        raise provider.failure(error.status_code, error.response.headers, error.body) from None
    except openai.APITimeoutError:
        raise TimeoutError from None
    except openai.APIConnectionError:
        raise FastFailure(AIProviderUnavailable("The AI provider cannot be reached. Try again later.")) from None
    call.provider_request_id = _request_id(response.headers)
    return provider.read_answer(response.content, response.headers)


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
        http_client = _BoundedClient(timeout=timeout, follow_redirects=False)
    except (ImportError, OSError, ValueError):
        # What ALL_PROXY, HTTPS_PROXY, SSL_CERT_FILE or SSL_CERT_DIR of the environment names cannot be used.
        raise AIProviderUnavailable("The operator has to correct this service's proxy or certificates.") from None
    sdk = AsyncOpenAI(
        api_key=key, base_url=str(settings.openai_base_url), timeout=timeout, max_retries=0, http_client=http_client
    )
    # Left out above, they are read from the environment, past the settings.
    sdk.organization = sdk.project = None
    return sdk


class _BoundedClient(httpx2.AsyncClient):
    """Reads each body whole, and at most `MAX_PROVIDER_BODY_BYTES` of it."""

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        try:
            content = await _read(response)
        except AIInvalidProviderResponse:
            if response.is_success:
                raise
            content = b""  # the status says enough
        finally:
            await response.aclose()
        return httpx2.Response(response.status_code, headers=_plain(response), content=content, request=request)


async def _read(response: httpx2.Response) -> bytes:
    """Raises `AIInvalidProviderResponse`."""
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_PROVIDER_BODY_BYTES:
                raise AIInvalidProviderResponse("The AI provider's answer is too large.")
    except httpx2.TimeoutException:
        raise
    except httpx2.RequestError:
        raise AIInvalidProviderResponse("The AI provider's answer was cut short.") from None
    return bytes(content)


def _plain(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    """The headers without those of the body: it is decoded, and some charsets that it could claim make httpx2 raise."""
    of_body = (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in of_body]
