"""A model that is slow but makes progress is healthy: each kind of call has the time that it needs.

`test_call_limits.py` and `test_stream_failures.py` have the providers that are silent.
"""

import asyncio
import json
import time
from contextlib import aclosing
from itertools import repeat
from typing import Any

import pytest

from src.ai.call_limits import CallLimiter
from src.ai.client import AIClient, Completion
from src.ai.exceptions import AITimeout
from src.ai.prompt import Prompt
from src.audits.schemas import AuditFilter
from src.config import AppSettings, DatabaseSettings
from tests.ai.application import ai_settings, ask, assert_problem, run_ai
from tests.ai.fake_provider import (
    BEGINS,
    COMPLETES,
    HEARTBEAT,
    FakeProvider,
    Reply,
    Stream,
    completes,
    event,
    piece,
    response,
)
from tests.ai.streams import assert_error, names, read, stream
from tests.application import NO_DATABASE, run_application

QUERY, SUMMARY = "/api/v1/ai/audits/query", "/api/v1/ai/audits/summary"
FILTER = json.dumps(dict.fromkeys(AuditFilter.model_fields) | {"unsupported": []})
FINDINGS = json.dumps({"summary": "Nothing.", "findings": []})
# Seconds.
AT_ONCE = 2


def slowly(text: str, seconds: float, pieces: int = 10) -> Stream:
    """The text in so many pieces, which take so long in all."""
    size = -(-len(text) // pieces)
    parts = [piece(text[start : start + size]) for start in range(0, len(text), size)]
    return Stream([BEGINS, *parts, completes(output=[])], pause=seconds / (len(parts) + 1))


async def test_a_slow_answer_that_makes_progress_is_no_timeout(provider: FakeProvider) -> None:
    provider.replies(slowly("An answer.", 1.2))
    async with run_ai(provider, ai_read_timeout=0.6) as client:
        assert (await ask(client)).json()["output"]["text"] == "An answer."


@pytest.mark.parametrize("thinks", ["response.reasoning_text.delta", "response.reasoning_summary_text.delta"])
async def test_thoughts_are_progress(provider: FakeProvider, thinks: str) -> None:
    provider.replies(Stream([BEGINS, *repeat(event(thinks, delta="Hm."), 6), COMPLETES], pause=0.2))
    async with run_ai(provider, ai_read_timeout=0.6) as client:
        assert (await ask(client)).status_code == 200


async def test_a_slow_reader_of_a_stream_is_no_silence_of_the_model(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, piece("An "), piece("answer."), COMPLETES], pause=0.05))
    client = AIClient(ai_settings(provider, ai_read_timeout=0.3))
    async with aclosing(client.stream(Prompt(version="test", model="gpt-5.4-mini", input="x"))) as events:
        received = []
        async for event in events:
            received.append(event)
            await asyncio.sleep(0.4)
    assert [text for pieces in received if isinstance(pieces, list) for text in pieces] == ["An ", "answer."]
    assert isinstance(received[-1], Completion)
    await client.close()


NO_PROGRESS = {
    "nothing": Stream([BEGINS, piece("An ")], ends="never"),
    "comments": Stream([BEGINS, piece("An "), *repeat(HEARTBEAT, 100)], pause=0.05),
    "heartbeats": Stream(
        [BEGINS, piece("An "), *repeat(event("response.in_progress", response=response()), 100)], pause=0.05
    ),
    "bytes": Stream([BEGINS, *(bytes([byte]) for byte in piece("An "))], pause=0.05),
}


@pytest.mark.parametrize("reply", NO_PROGRESS.values(), ids=NO_PROGRESS)
async def test_a_plain_call_without_progress_gets_504_at_the_read_timeout_and_is_an_outage(
    provider: FakeProvider, reply: Stream
) -> None:
    provider.replies(reply)
    async with run_ai(provider, ai_read_timeout=0.3, ai_breaker_failures=1) as client:
        started = time.perf_counter()
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert time.perf_counter() - started < AT_ONCE
        assert_problem(await ask(client), 503, "ai-circuit-open", retryable=True)


async def test_an_answer_under_way_at_the_deadline_gets_504_and_is_no_outage(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, *repeat(piece("A"), 200)], pause=0.05))
    short = {"ai_deadline": 0.4, "ai_connect_timeout": 0.1, "ai_stream_deadline": 0.4}
    async with run_ai(provider, **short, ai_breaker_failures=1) as client:
        for _ in range(2):
            answer, events = await ask(client), read(await stream(client))
            assert_problem(answer, 504, "ai-timeout", retryable=True)
            assert "have AI_DEADLINE raised" in answer.json()["detail"]
            assert_error(events, 504, "ai-timeout")
            assert "have AI_STREAM_DEADLINE raised" in events[-1][1]["detail"]
    assert len(provider.requests) == 4


async def test_a_provider_that_says_nothing_until_the_deadline_is_an_outage(provider: FakeProvider) -> None:
    provider.replies(Reply(hangs=True))
    async with run_ai(provider, ai_deadline=0.5, ai_connect_timeout=0.1, ai_breaker_failures=1) as client:
        assert_problem(await ask(client), 504, "ai-timeout", retryable=True)
        assert_problem(await ask(client), 503, "ai-circuit-open", retryable=True)


@pytest.mark.parametrize(("seconds", "is_outage"), [(0.1, False), (0.6, True)], ids=["little", "most"])
async def test_silence_for_the_little_time_that_a_call_had_left_is_no_outage(seconds: float, is_outage: bool) -> None:
    """A call may have waited for its place, or share its deadline with an earlier one."""
    limiter = CallLimiter(ai_settings(ai_deadline=1))
    with pytest.raises(AITimeout) as caught:
        async with limiter.admit(asyncio.get_running_loop().time() + seconds) as budget, budget.limit_time():
            await asyncio.sleep(60)
    assert caught.value.is_outage is is_outage


@pytest.mark.parametrize(
    ("path", "body", "text", "deadline"),
    [
        (QUERY, {"question": "What failed?"}, FILTER, "ai_query_deadline"),
        (SUMMARY, {}, FINDINGS, "ai_summary_deadline"),
    ],
    ids=["question", "summary"],
)
async def test_questions_and_summaries_have_deadlines_of_their_own(
    provider: FakeProvider,
    database: DatabaseSettings,
    path: str,
    body: dict[str, Any],
    text: str,
    deadline: str,
) -> None:
    """And a request is not limited by `REQUEST_TIMEOUT` while its call runs."""
    provider.replies(slowly(text, 1.5))
    short: dict[str, Any] = {
        "ai_deadline": 0.3,
        "ai_connect_timeout": 0.2,
        "ai_place_timeout": 0.2,
        "ai_read_timeout": 1,
    }
    hasty = AppSettings(request_timeout=1, request_body_timeout=0.5, place_timeout=0.5)
    for seconds, status in ((3, 200), (0.6, 504)):
        settings = ai_settings(provider, **short | {deadline: seconds})
        async with run_application(database, settings, hasty) as client:
            assert (await client.post(path, json=body)).status_code == status


async def test_slow_plain_calls_leave_streams_their_places(provider: FakeProvider) -> None:
    provider.replies_by(
        lambda request: (
            Stream([BEGINS, piece("An answer."), COMPLETES]) if request.body["input"] == "stream" else Reply(hangs=True)
        )
    )
    settings = ai_settings(provider, ai_max_in_flight=2, ai_max_streams=1, ai_place_timeout=0.5)
    few = AppSettings(max_in_flight=2, place_timeout=0.3)
    async with run_application(NO_DATABASE, settings, few) as client:
        plain = [asyncio.create_task(ask(client)) for _ in range(2)]
        await provider.wait_for_requests(2)
        waiting = [asyncio.create_task(ask(client)) for _ in range(20)]
        assert names(read(await stream(client, input="stream"))) == ["start", "delta", "done"]
        for answer in await asyncio.gather(*waiting):
            assert_problem(answer, 503, "ai-saturated", retryable=True)
        for call in plain:
            call.cancel()
        await asyncio.gather(*plain, return_exceptions=True)
