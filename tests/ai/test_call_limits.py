"""Deadlines and retries of calls to the provider."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from pydantic import HttpUrl

from src.ai.constants import RETRY_DELAY
from tests.ai.application import RESPONSES, ask, ask_with, assert_problem, run_ai
from tests.ai.fake_provider import FakeProvider, Reply, answers, fails

# Seconds.
SHORT = {"ai_deadline": 0.5, "ai_connect_timeout": 0.5}
NARROW = {"ai_deadline": 0.6, "ai_connect_timeout": 0.1}
# Seconds. Shorter than every wait that a test names, and longer than a busy machine needs.
AT_ONCE = 2


TRANSIENT_FAILURES = {"dropped": Reply(drops=True), "500": fails(500), "503": fails(503), "408": fails(408)}


@pytest.mark.parametrize("first", TRANSIENT_FAILURES.values(), ids=TRANSIENT_FAILURES)
async def test_a_transient_failure_is_retried(provider: FakeProvider, client: httpx2.AsyncClient, first: Reply) -> None:
    provider.replies(first, answers())
    answer = await ask(client)
    assert answer.status_code == 200
    assert answer.json()["meta"]["attempts"] == len(provider.requests) == 2


async def test_there_are_two_attempts_at_most(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(fails(500))
    assert_problem(await ask(client), 503, "ai-provider-unavailable", retryable=True)
    assert len(provider.requests) == 2


async def test_the_number_of_attempts_is_configurable(provider: FakeProvider) -> None:
    provider.replies(fails(500), answers())
    assert (await ask_with(provider, ai_max_attempts=1)).status_code == 503
    assert len(provider.requests) == 1


async def test_no_attempt_is_made_that_has_less_than_three_quarters_of_the_time(provider: FakeProvider) -> None:
    provider.replies(Reply(status=500, delay=0.1), answers())
    assert (await ask_with(provider, **NARROW)).status_code == 503
    assert len(provider.requests) == 1


async def test_a_provider_that_hangs_gets_the_caller_504_at_the_deadline(provider: FakeProvider) -> None:
    provider.replies(Reply(hangs=True))
    async with run_ai(provider, **SHORT) as client:
        started = time.perf_counter()
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < AT_ONCE
    assert len(provider.requests) == 1


async def test_a_provider_that_hangs_gets_the_caller_504_at_the_read_timeout(provider: FakeProvider) -> None:
    provider.replies(Reply(hangs=True))
    async with run_ai(provider, ai_read_timeout=0.3) as client:
        started = time.perf_counter()
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < AT_ONCE


@pytest.fixture
def unaccepting_url() -> Iterator[HttpUrl]:
    """The URL of a server that accepts no connection: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield HttpUrl(f"http://127.0.0.1:{server.getsockname()[1]}/v1")


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse a connection when the backlog is full, or accept it"
)
@pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/stream"])
async def test_a_connection_that_is_not_accepted_gets_the_caller_504_at_the_connect_timeout(
    unaccepting_url: HttpUrl, path: str
) -> None:
    async with run_ai(openai_base_url=unaccepting_url, ai_connect_timeout=0.3) as client:
        started = time.perf_counter()
        assert_problem(await client.post(path, json={"input": "x"}), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < AT_ONCE


async def test_a_body_that_trickles_in_ends_at_the_deadline(provider: FakeProvider) -> None:
    """Bytes are no progress, but only the deadline is short."""
    provider.replies(Reply(answers().body, pause_between_bytes=0.05))
    async with run_ai(provider, **SHORT) as client:
        started = time.perf_counter()
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < AT_ONCE


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "2.5"}, 3),
        ({"Retry-After": "999999999"}, 86_400),
        ({"retry-after-ms": "2500"}, 3),
        ({"retry-after-ms": "20000", "Retry-After": "30"}, 20),
        ({}, 5),
        ({"Retry-After": "soon"}, 5),
        ({"Retry-After": "-1"}, 5),
        ({"Retry-After": "inf"}, 5),
        ({"Retry-After": "nan"}, 5),
        ({"Retry-After": "9" * 40}, 5),
        ({"Retry-After": f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT"}, 5),
    ],
)
async def test_a_rate_limit_with_a_long_or_unknown_wait_is_reported_at_once(
    provider: FakeProvider, client: httpx2.AsyncClient, headers: dict[str, str], seconds: int
) -> None:
    provider.replies(Reply(status=429, headers=headers))
    started = time.perf_counter()
    answer = await ask(client)
    assert time.perf_counter() - started < AT_ONCE
    assert_problem(answer, 429, "ai-rate-limited", retryable=True)
    assert answer.headers["Retry-After"] == str(seconds)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
async def test_a_retry_after_date_is_reported_as_seconds(
    provider: FakeProvider, client: httpx2.AsyncClient, zone: str
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60)).replace("+0000", zone)
    provider.replies(Reply(status=429, headers={"Retry-After": date}))
    answer = await ask(client)
    assert answer.json()["retry_after_seconds"] in (59, 60)


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "0"}, {"retry-after-ms": "50"}, {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}]
)
async def test_a_rate_limit_with_a_short_wait_is_retried(
    provider: FakeProvider, client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    provider.replies(Reply(status=429, headers=headers), answers())
    assert (await ask(client)).json()["meta"]["attempts"] == 2


@pytest.mark.parametrize(
    ("first", "seconds"),
    [(Reply(status=429, headers={"retry-after-ms": "400"}), 0.4), (fails(500), RETRY_DELAY[0])],
    ids=["delay of the provider", "our delay"],
)
async def test_the_retry_comes_after_the_delay(
    provider: FakeProvider, client: httpx2.AsyncClient, first: Reply, seconds: float
) -> None:
    provider.replies(first, answers())
    answer = await ask(client)
    assert answer.json()["meta"]["attempts"] == 2
    assert answer.json()["meta"]["latency_ms"] >= seconds * 1000


async def test_the_wait_for_a_place_counts_towards_the_deadline(provider: FakeProvider) -> None:
    """The second call gets its place after a second, and then has only the rest of its deadline."""
    provider.replies(Reply(answers().body, delay=1), Reply(hangs=True))
    settings = {"ai_deadline": 1.5, "ai_connect_timeout": 0.1, "ai_place_timeout": 1.4}
    async with run_ai(provider, **settings, ai_max_in_flight=1) as client:
        first = asyncio.create_task(ask(client))
        await provider.wait_for_requests()
        started = time.perf_counter()
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < 2.3
        assert (await first).status_code == 200
    assert len(provider.requests) == 2


async def test_retry_after_is_at_least_one_second(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(Reply(status=429, headers={"Retry-After": "0"}))
    assert (await ask(client)).headers["Retry-After"] == "1"


async def test_an_outage_with_a_long_wait_is_reported_at_once(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(fails(503, Retry_After="30"), answers())
    answer = await ask(client)
    assert_problem(answer, 503, "ai-provider-unavailable", retryable=True)
    assert answer.headers["Retry-After"] == "30"
    assert len(provider.requests) == 1
