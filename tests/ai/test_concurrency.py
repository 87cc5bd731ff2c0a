"""A process makes a limited number of calls at once; every call that ends frees its place."""

import asyncio
import time
from contextlib import aclosing

import pytest

from src.ai.client import AIClient, Completion
from src.ai.prompt import Prompt
from tests.ai.application import RESPONSES, ai_settings, ask, assert_problem, run_ai
from tests.ai.fake_provider import ANSWER, BEGINS, FakeProvider, Reply, Stream, answers, fails, piece

STREAM = f"{RESPONSES}/stream"
ONE = {"ai_max_in_flight": 1, "ai_max_streams": 1, "ai_place_timeout": 0.1}
# Seconds. Longer than the wait for a place, and far shorter than the deadline of a call.
SOON = 2


async def test_a_caller_without_a_place_gets_503_soon_and_the_provider_no_request(provider: FakeProvider) -> None:
    provider.replies(Reply(hangs=True))
    async with run_ai(provider, ai_max_in_flight=3, ai_place_timeout=0.1) as client, asyncio.TaskGroup() as callers:
        in_flight = [callers.create_task(ask(client)) for _ in range(3)]
        await provider.wait_for_requests(3)
        started = time.perf_counter()
        for answer in await asyncio.gather(*(ask(client) for _ in range(5))):
            assert_problem(answer, 503, "ai-saturated", retryable=True)
            assert answer.headers["Retry-After"] == "1"
        assert time.perf_counter() - started < SOON
        assert len(provider.requests) == 3
        assert (await client.get("/health/live")).status_code == 200
        for call in in_flight:
            call.cancel()


async def test_a_waiting_caller_gets_the_next_free_place(provider: FakeProvider) -> None:
    provider.replies(Reply(answers().body, delay=0.2), answers())
    async with run_ai(provider, ai_max_in_flight=1, ai_place_timeout=1.5) as client:
        both = await asyncio.gather(ask(client), ask(client))
    assert [answer.status_code for answer in both] == [200, 200]


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        (RESPONSES, answers()),
        (RESPONSES, fails(401)),
        (RESPONSES, Reply(drops=True)),
        (RESPONSES, Reply(b"<html></html>")),
        (STREAM, ANSWER),
        (STREAM, fails(500)),
        (STREAM, Stream([BEGINS, piece("A")])),
        (STREAM, Stream([BEGINS, piece("A")], ends="cut short")),
        (STREAM, Stream([BEGINS, b"data: {bad\n\n"])),
    ],
)
async def test_every_outcome_of_a_call_frees_its_place(
    provider: FakeProvider, path: str, reply: Reply | Stream
) -> None:
    provider.replies(reply)
    async with run_ai(provider, **ONE) as client:
        await client.post(path, json={"input": "x"})
        provider.replies(ANSWER)
        assert (await client.post(path, json={"input": "x"})).status_code == 200


async def test_a_stream_that_is_closed_between_two_pieces_frees_its_place(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, piece("A"), piece("B")], ends="never"), ANSWER)
    client = AIClient(ai_settings(provider, **ONE))
    prompt = Prompt(version="test", model="gpt-5.4-mini", input="x")
    async with aclosing(client.stream(prompt)) as events:
        assert [await anext(events), await anext(events)] == [[], ["A"]]
    assert isinstance([event async for event in client.stream(prompt)][-1], Completion)
    await client.close()


async def test_a_stream_holds_its_place_until_it_ends(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, piece("A")], ends="never"), ANSWER)
    async with run_ai(provider, **ONE, ai_read_timeout=1) as client:
        stream = asyncio.create_task(client.post(STREAM, json={"input": "x"}))
        await provider.wait_for_requests()
        assert_problem(await client.post(STREAM, json={"input": "x"}), 503, "ai-saturated", retryable=True)
        assert (await stream).status_code == 200
        assert (await client.post(STREAM, json={"input": "x"})).status_code == 200


async def test_a_call_without_a_place_is_no_outage_for_the_breaker(provider: FakeProvider) -> None:
    provider.replies(Reply(answers().body, delay=0.5))
    async with run_ai(provider, **ONE, ai_breaker_failures=1) as client:
        first = asyncio.create_task(ask(client))
        await provider.wait_for_requests()
        assert_problem(await ask(client), 503, "ai-saturated", retryable=True)
        assert (await first).status_code == 200
        assert (await ask(client)).status_code == 200
