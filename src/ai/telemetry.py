"""Records each call to the provider: one log line and one span, without the texts of prompt and answer."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from pydantic import HttpUrl

from src.ai.exceptions import AIError
from src.ai.prompt import Prompt
from src.ai.provider_schemas import Answer

logger = logging.getLogger(__name__)
# Records nothing until the process sets a tracer provider.
_tracer = trace.get_tracer(__name__)

# The convention's well-known names, by the domain of the base URL's host.
_PROVIDER_NAMES = {
    "openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "x.ai": "x_ai",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "deepseek.com": "deepseek",
    "perplexity.ai": "perplexity",
}


@dataclass
class Call:
    """What is known of a call so far. `latency_ms` is set when the call has ended."""

    prompt: Prompt
    answer: Answer | None = None
    provider_request_id: str | None = None
    attempts: int = 0
    latency_ms: float = 0
    code: str | None = None
    is_cancelled: bool = False

    @property
    def status(self) -> str:
        if self.answer:
            return "refused" if self.answer.refusal is not None else self.answer.status
        return "cancelled" if self.is_cancelled else "failed"


@contextmanager
def record_call(prompt: Prompt, base_url: HttpUrl) -> Iterator[Call]:
    """Enter this around a call, which sets the fields of the yielded `Call`. Records the call, however it ends."""
    call = Call(prompt)
    started = time.perf_counter()
    # Not the current span: a stream may begin in one task and end in another.
    span = _tracer.start_span(
        f"chat {prompt.model}", kind=SpanKind.CLIENT, attributes=_request_attributes(prompt, base_url)
    )
    try:
        yield call
    except AIError as error:
        call.code = error.code
        raise
    except (asyncio.CancelledError, GeneratorExit):
        call.is_cancelled = True
        raise
    finally:
        call.latency_ms = round((time.perf_counter() - started) * 1000, 2)
        logger.info("ai call", extra=_log_fields(call))
        _end_span(span, call)


def _log_fields(call: Call) -> dict[str, Any]:
    """The prompt's length and hash stand for its text: they show whether two calls sent the same prompt."""
    usage = call.answer.usage if call.answer else None
    return {
        "model": call.prompt.model,
        "prompt_version": call.prompt.version,
        "prompt_characters": call.prompt.characters,
        "prompt_sha256": call.prompt.sha256,
        "status": call.status,
        "code": call.code,
        "attempts": call.attempts,
        "latency_ms": call.latency_ms,
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "provider_request_id": call.provider_request_id,
    }


def _request_attributes(prompt: Prompt, base_url: HttpUrl) -> Mapping[str, str | int | float]:
    """https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/"""
    attributes: dict[str, str | int | float] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_name(base_url.host or ""),
        "gen_ai.output.type": "text" if prompt.output_format is None else "json",
        "gen_ai.request.model": prompt.model,
        "gen_ai.request.max_tokens": prompt.max_output_tokens,
        "server.address": base_url.host or "",
        "server.port": base_url.port or 0,
    }
    if prompt.temperature is not None:
        attributes["gen_ai.request.temperature"] = prompt.temperature
    return attributes


def provider_name(host: str) -> str:
    """Return the well-known name of the host's provider, which the convention demands if there is one; else the host.

    https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
    """
    names = (name for domain, name in _PROVIDER_NAMES.items() if f".{host}".endswith(f".{domain}"))
    return next(names, host)


def _end_span(span: Span, call: Call) -> None:
    if call.answer:
        span.set_attributes(
            {
                "gen_ai.response.id": call.answer.id,
                "gen_ai.response.model": call.answer.model,
                "gen_ai.response.finish_reasons": [call.answer.incomplete_details.reason or "stop"],
                "gen_ai.usage.input_tokens": call.answer.usage.input_tokens,
                "gen_ai.usage.output_tokens": call.answer.usage.output_tokens,
            }
        )
    else:
        span.set_attribute("error.type", call.code or call.status)
        span.set_status(StatusCode.ERROR)
    span.end()
