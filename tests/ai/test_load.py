"""Many callers at once: of a provider that often fails, of one that never answers, and of endpoints that need none."""

import asyncio
import random
import time
from collections import Counter

import httpx2
import pytest

from src.config import DatabaseSettings
from tests.ai.application import ai_settings, ask, run_ai
from tests.ai.fake_provider import FakeProvider, Received, Reply, answers, fails
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body

CALLERS, CALLS = 20, 300


def random_reply(seed: int) -> Reply:
    """In 10 % of all cases 500, in 5 % 429 with `Retry-After`, in 3 % a dropped connection, else an answer."""
    odds = random.Random(seed).random()
    if odds < 0.10:
        return fails(500)
    if odds < 0.15:
        return fails(429, "rate_limit_exceeded", Retry_After="1")
    return Reply(drops=True) if odds < 0.18 else answers()


async def test_nearly_all_callers_of_a_provider_that_often_fails_get_their_answers(provider: FakeProvider) -> None:
    """The seed fixes which attempts of a call fail, in whatever order the calls are made."""
    attempts = Counter[str]()

    def choose(request: Received) -> Reply:
        number = request.body["input"]
        attempts[number] += 1
        return random_reply(2 * int(number) + attempts[number])

    provider.replies_by(choose)
    numbers = iter(range(CALLS))
    seconds: list[float] = []
    codes = Counter[int]()

    async def caller(client: httpx2.AsyncClient) -> None:
        for number in numbers:
            started = time.perf_counter()
            codes[(await ask(client, input=str(number))).status_code] += 1
            seconds.append(time.perf_counter() - started)

    async with run_ai(provider, ai_breaker_failures=5) as client:
        await asyncio.gather(*(caller(client) for _ in range(CALLERS)))
    assert codes[200] >= 0.95 * CALLS, codes
    assert sorted(seconds)[int(0.9 * CALLS)] < 5
    assert len(provider.requests) <= 1.3 * CALLS


async def test_a_provider_that_never_answers_delays_few_callers_and_no_other_endpoint(
    provider: FakeProvider, database: DatabaseSettings
) -> None:
    """The provider accepts connections: only the deadline ends a call, until the circuit breaker opens."""
    failures = 5
    provider.replies(Reply(hangs=True))
    settings = ai_settings(
        provider,
        ai_deadline=2,
        ai_connect_timeout=1,
        ai_breaker_failures=failures,
        ai_breaker_pause=60,
    )
    seconds: list[float] = []

    async def call(client: httpx2.AsyncClient) -> str:
        started = time.perf_counter()
        code: str = (await ask(client)).json()["code"]
        seconds.append(time.perf_counter() - started)
        return code

    async def caller(client: httpx2.AsyncClient) -> list[str]:
        return [await call(client) for _ in range(CALLS // failures - 1)]

    async with run_application(database, settings) as client:
        # All of these end before other calls begin: a call that begins between two failures would be admitted too.
        first = [asyncio.create_task(call(client)) for _ in range(failures)]
        await provider.wait_for_requests(failures)
        created = await client.post(AUDITS, json=audit_body())
        listed = await client.get(AUDITS)
        codes = Counter(await asyncio.gather(*first))
        for later in await asyncio.gather(*(caller(client) for _ in range(failures))):
            codes.update(later)
    assert (created.status_code, listed.json()["total"]) == (201, 1)
    assert codes == {"ai-timeout": failures, "ai-circuit-open": CALLS - failures}
    assert sum(each > 0.5 for each in seconds) <= 2 * failures
    assert len(provider.requests) == failures


@pytest.mark.parametrize("path", ["/health/live", "/health", "/api/v1/ai/status"])
async def test_other_endpoints_answer_while_all_places_are_taken(provider: FakeProvider, path: str) -> None:
    provider.replies(Reply(hangs=True))
    async with run_ai(provider, ai_max_in_flight=2) as client:
        waiting = [asyncio.create_task(ask(client)) for _ in range(2)]
        await provider.wait_for_requests(2)
        async with asyncio.timeout(5):
            assert (await client.get(path)).status_code in (200, 503)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
