"""Each call is one span by the conventions for generative AI, without the texts of prompt and answer.

`test_secrecy.py` tests its log line.
"""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from src.ai import telemetry
from tests.ai.application import KEY, RESPONSES, ask, ask_with
from tests.ai.fake_provider import ANSWER, BEGINS, FakeProvider, Reply, Stream, answers, fails, piece


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


@pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/stream"])
async def test_a_call_is_one_span(
    provider: FakeProvider, client: httpx2.AsyncClient, spans: InMemorySpanExporter, path: str
) -> None:
    provider.replies(answers() if path == RESPONSES else ANSWER)
    await client.post(path, json={"input": "prompt-4711", "temperature": 0.5})
    span = only(spans)
    assert (span.name, span.kind, span.status.status_code) == ("chat gpt-5.4-mini", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "127.0.0.1",
        "gen_ai.output.type": "text",
        "gen_ai.request.model": "gpt-5.4-mini",
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.id": "resp_1",
        "gen_ai.response.model": "gpt-5.4-mini-2026-03-17",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 20,
        "server.address": "127.0.0.1",
        "server.port": int(provider.url.split(":")[2].removesuffix("/v1")),
    }


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("trail.openai.azure.com", "azure.ai.openai"),
        ("api.groq.com", "groq"),
        ("api.x.ai", "x_ai"),
        ("openai.com.example.org", "openai.com.example.org"),
        ("notopenai.com", "notopenai.com"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_the_provider_name_follows_from_the_host(host: str, name: str) -> None:
    assert telemetry.provider_name(host) == name


async def test_the_span_of_a_failed_call_is_an_error_with_its_code(
    provider: FakeProvider, client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    provider.replies(fails(401, said=f"said-4714 {KEY}"))
    await ask(client, input="prompt-4711")
    span = only(spans)
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ai-provider-authentication-failed"
    for secret in ("prompt-4711", "said-4714", KEY):
        assert secret not in span.to_json()


async def test_the_span_of_a_stream_that_breaks_off_is_an_error(
    provider: FakeProvider, client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    provider.replies(Stream([BEGINS, piece("A")]))
    await client.post(f"{RESPONSES}/stream", json={"input": "x"})
    assert (only(spans).attributes or {})["error.type"] == "ai-provider-unavailable"


async def test_the_span_of_a_call_is_cancelled_if_the_caller_disconnects(
    provider: FakeProvider, client: httpx2.AsyncClient, spans: InMemorySpanExporter
) -> None:
    provider.replies(Reply(hangs=True))
    call = asyncio.create_task(ask(client))
    await provider.wait_for_requests()
    call.cancel()
    await asyncio.wait((call,))
    assert (only(spans).attributes or {})["error.type"] == "cancelled"


async def test_a_call_without_a_key_is_a_span_too(provider: FakeProvider, spans: InMemorySpanExporter) -> None:
    await ask_with(provider, openai_api_key=None)
    assert (only(spans).attributes or {})["error.type"] == "ai-not-configured"
    assert provider.requests == []
