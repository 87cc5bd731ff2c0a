"""Runs the application with a test's settings, without a database: `/ai/responses` needs none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from src.ai.config import AISettings
from tests.ai.fake_provider import FakeProvider
from tests.application import NO_DATABASE, run_application

RESPONSES = "/api/v1/ai/responses"
STATUS = "/api/v1/ai/status"
KEY = "sk-test-1f0c9b7e"


def ai_settings(provider: FakeProvider | None = None, **changes: Any) -> AISettings:
    """Settings that name `provider`; without one, a port on which nobody listens."""
    values: dict[str, Any] = {
        "openai_api_key": KEY,
        "openai_base_url": provider.url if provider else "http://127.0.0.1:1/v1",
        "ai_model": "gpt-5.4-mini",
        "ai_allowed_models": ["gpt-5.4-mini", "other-model"],
        "ai_deadline": 8,
        "ai_connect_timeout": 1,
        "ai_read_timeout": 10,
        "ai_max_attempts": 2,
        # So many that the circuit breaker never opens, unless a test sets another number.
        "ai_breaker_failures": 1_000,
    }
    return AISettings(**values | changes)


@asynccontextmanager
async def run_ai(provider: FakeProvider | None = None, **changes: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_application(NO_DATABASE, ai_settings(provider, **changes)) as client:
        yield client


async def ask(client: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    return await client.post(RESPONSES, json={"input": "Say something."} | body)


async def ask_with(provider: FakeProvider | None = None, **changes: Any) -> httpx2.Response:
    """Ask an application that runs with these settings, for this request alone."""
    async with run_ai(provider, **changes) as client:
        return await ask(client)


def assert_problem(answer: httpx2.Response, status: int, code: str, *, retryable: bool) -> None:
    document = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert document["retryable"] is retryable
    assert document.get("retry_after_seconds") == (
        int(answer.headers["Retry-After"]) if "Retry-After" in answer.headers else None
    )
