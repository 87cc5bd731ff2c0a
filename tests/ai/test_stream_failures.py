"""Streams that fail: before `start` with a problem document, after `start` with one event `error`, always in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise, repeat

import httpx2
import pytest

from src.ai.constants import MAX_PROVIDER_STREAM_BYTES
from tests.ai.application import assert_problem, run_ai
from tests.ai.fake_provider import (
    ANSWER,
    BEGINS,
    COMPLETES,
    HEARTBEAT,
    FakeProvider,
    Reply,
    Stream,
    answers,
    event,
    fails,
    piece,
    response,
)
from tests.ai.streams import assert_error, names, read, stream

# Seconds. On a machine five times as slow, the first event still comes before this limit.
SHORT = {"ai_read_timeout": 1.5}
# Much less than the deadline of a stream, at which each would end that misses what ends it in time.
IN_TIME = 10


@pytest.fixture(scope="module")
async def hasty_client(shared_provider: FakeProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_ai(shared_provider, **SHORT) as client:
        yield client


BEFORE_THE_START = {
    "a wrong key": (fails(401), 502, "ai-provider-authentication-failed", False),
    "rate": (fails(429, Retry_After="30"), 429, "ai-rate-limited", True),
    "context": (fails(400, "context_length_exceeded"), 413, "ai-input-too-large", False),
    "500": (fails(500), 503, "ai-provider-unavailable", True),
    "dropped": (Reply(drops=True), 503, "ai-provider-unavailable", True),
    "redirect": (Reply(status=302, headers={"Location": "/"}), 502, "ai-invalid-provider-response", False),
    "HTML": (Reply(b"<html></html>"), 502, "ai-invalid-provider-response", False),
    "an empty body": (Reply(), 502, "ai-invalid-provider-response", False),
    "no event": (Stream([]), 502, "ai-invalid-provider-response", False),
    "only a heartbeat": (Stream([HEARTBEAT]), 502, "ai-invalid-provider-response", False),
    "no event, cut short": (Stream([], ends="cut short"), 503, "ai-provider-unavailable", True),
    "a document, cut short": (Reply(answers().body, sent_bytes=40), 503, "ai-provider-unavailable", True),
    "only DONE": (Stream([b"data: [DONE]\n\n"]), 502, "ai-invalid-provider-response", False),
    "an error event": (Stream([event("error", code="server_error")]), 503, "ai-provider-unavailable", True),
    "an error event of no code": (Stream([event("error", message="No.")]), 503, "ai-provider-unavailable", True),
    "an error in an event": (
        Stream([event("error", error={"code": "insufficient_quota"})]),
        503,
        "ai-quota-exhausted",
        False,
    ),
    "failed": (
        Stream([event("response.failed", response={"status": "failed", "error": {"code": "invalid_prompt"}})]),
        422,
        "ai-content-rejected",
        False,
    ),
    "bad JSON": (Stream([b"data: {bad\n\n"]), 502, "ai-invalid-provider-response", False),
    "not UTF-8": (Stream([b"data: \xff\n\n"]), 502, "ai-invalid-provider-response", False),
    "too deep": (Stream([b"data: " + b"[" * 100_000 + b"\n\n"]), 502, "ai-invalid-provider-response", False),
    "a list": (Stream([b"data: []\n\n"]), 502, "ai-invalid-provider-response", False),
    "an unnamed event": (Stream([b'data: {"delta": "x"}\n\n']), 502, "ai-invalid-provider-response", False),
    "compressed": (
        Stream([b"x"], headers={"Content-Encoding": "gzip"}),
        502,
        "ai-invalid-provider-response",
        False,
    ),
}


@pytest.mark.parametrize(("reply", "status", "code", "retryable"), BEFORE_THE_START.values(), ids=BEFORE_THE_START)
async def test_a_failure_before_the_first_event_gets_a_problem_document(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply | Stream, status: int, code: str, retryable: bool
) -> None:
    provider.replies(reply)
    assert_problem(await stream(client), status, code, retryable=retryable)


async def test_a_failure_before_the_first_event_is_retried(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(Stream([event("error", code="server_error")]), ANSWER)
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "delta", "done"]
    assert events[-1][1]["meta"]["attempts"] == 2


FAILED = {"status": "failed", "error": {"code": "server_error", "message": "Oh."}}


AFTER_THE_START = {
    "ends cleanly, as behind a proxy": (Stream([BEGINS, piece("An ")]), 503, "ai-provider-unavailable"),
    "ends with DONE": (Stream([BEGINS, b"data: [DONE]\n\n"]), 503, "ai-provider-unavailable"),
    "cut short": (Stream([BEGINS, piece("An ")], ends="cut short"), 503, "ai-provider-unavailable"),
    "cut in an event": (Stream([BEGINS, piece("An ")[:-9]], ends="cut short"), 503, "ai-provider-unavailable"),
    "ends in an event": (Stream([BEGINS, piece("An ")[:-9]]), 503, "ai-provider-unavailable"),
    "bad JSON": (Stream([BEGINS, b"data: {bad\n\n"]), 502, "ai-invalid-provider-response"),
    "bad JSON, all at once": (Stream([BEGINS + b"data: {bad\n\n"]), 502, "ai-invalid-provider-response"),
    "not UTF-8": (Stream([BEGINS, b"data: \xff\n\n"]), 502, "ai-invalid-provider-response"),
    "a lone surrogate": (Stream([BEGINS, piece("\ud800")]), 502, "ai-invalid-provider-response"),
    "a piece of another shape": (
        Stream([BEGINS, event("response.output_text.delta", delta=5)]),
        502,
        "ai-invalid-provider-response",
    ),
    "an end of another shape": (
        Stream([BEGINS, event("response.completed", response={"status": "completed"})]),
        502,
        "ai-invalid-provider-response",
    ),
    "an error event": (Stream([BEGINS, event("error", code="rate_limit_exceeded")]), 429, "ai-rate-limited"),
    "failed": (Stream([BEGINS, event("response.failed", response=FAILED)]), 503, "ai-provider-unavailable"),
}


@pytest.mark.parametrize(("reply", "status", "code"), AFTER_THE_START.values(), ids=AFTER_THE_START)
async def test_a_failure_after_the_start_sends_one_error_event(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Stream, status: int, code: str
) -> None:
    provider.replies(reply)
    async with asyncio.timeout(IN_TIME):
        assert_error(read(await stream(client)), status, code)
    assert len(provider.requests) == 1


async def test_the_text_before_a_failure_is_sent_though_both_arrive_at_once(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(Stream([BEGINS + piece("An ") + piece("answer.") + b"data: {bad\n\n"]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "delta", "error"]
    assert [data["text"] for _, data in events[1:3]] == ["An ", "answer."]


SILENT_AFTER_THE_START = {
    "nothing more": Stream([BEGINS, piece("An ")], ends="never"),
    "heartbeats that never end": Stream([BEGINS, *repeat(HEARTBEAT, 400)], pause=0.05),
    "heartbeats as events": Stream(
        [BEGINS, *repeat(event("response.in_progress", response=response()), 400)], pause=0.05
    ),
    "keepalive": Stream([BEGINS, *repeat(event("keepalive"), 400)], pause=0.05),
    "a trickle": Stream([BEGINS, *(bytes([byte]) for byte in piece("A" * 400))], pause=0.05),
}
SILENT_FROM_THE_START: dict[str, Reply | Stream] = {
    "no head": Reply(hangs=True),
    "no event": Stream([], ends="never"),
    "heartbeats": Stream([HEARTBEAT] * 400, pause=0.05),
}


async def stream_all(
    provider: FakeProvider, client: httpx2.AsyncClient, replies: Mapping[str, Reply | Stream]
) -> dict[str, httpx2.Response]:
    """Stream all these replies at once, so that they are silent side by side. Returns what came in time."""
    provider.replies_by(lambda received: replies[received.body["input"]])
    async with asyncio.timeout(IN_TIME):
        return dict(zip(replies, await asyncio.gather(*(stream(client, input=name) for name in replies)), strict=True))


async def test_silence_after_the_start_sends_one_error_event_in_time(
    provider: FakeProvider, hasty_client: httpx2.AsyncClient
) -> None:
    for name, answer in (await stream_all(provider, hasty_client, SILENT_AFTER_THE_START)).items():
        assert (name, answer.status_code) == (name, 200)
        assert_error(read(answer), 504, "ai-timeout")
    assert len(provider.requests) == len(SILENT_AFTER_THE_START)


async def test_an_endless_stream_ends_at_the_stream_deadline(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, *repeat(piece("A"), 400)], pause=0.05))
    async with run_ai(provider, ai_stream_deadline=2) as client, asyncio.timeout(IN_TIME):
        assert_error(read(await stream(client)), 504, "ai-timeout")


async def test_a_stream_that_does_not_begin_gets_504_within_the_deadline(
    provider: FakeProvider, hasty_client: httpx2.AsyncClient
) -> None:
    for answer in (await stream_all(provider, hasty_client, SILENT_FROM_THE_START)).values():
        assert_problem(answer, 504, "ai-timeout", retryable=True)


async def test_progress_events_without_text_keep_a_stream_alive(provider: FakeProvider) -> None:
    thinks = event("response.reasoning_summary_text.delta", delta="Hm.")
    provider.replies(Stream([BEGINS, *repeat(thinks, 6), piece("An answer."), COMPLETES], pause=0.2))
    async with run_ai(provider, ai_read_timeout=1) as client:
        assert names(read(await stream(client))) == ["start", "delta", "done"]


async def test_a_stream_without_line_breaks_ends_at_the_size_limit(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    chunk = b"x" * 65_536
    provider.replies(Stream([BEGINS, b"data: ", *repeat(chunk, 2 * MAX_PROVIDER_STREAM_BYTES // len(chunk))]))
    assert_error(read(await stream(client)), 502, "ai-invalid-provider-response")


FLOODS = {"empty lines": b"\n" * 1_000_000, "comments": b":\n" * 300_000, "pieces": piece("") * 5_000}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_other_tasks_run_while_a_flood_is_read(
    provider: FakeProvider, client: httpx2.AsyncClient, flood: bytes
) -> None:
    provider.replies(ANSWER, Stream([BEGINS, flood, COMPLETES]))
    await stream(client)
    turns = [time.thread_time()]

    async def take_turns() -> None:
        while True:
            turns.append(time.thread_time())
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    assert names(read(await stream(client))) == ["start", "delta", "done"]
    other.cancel()
    assert max(after - before for before, after in pairwise(turns)) < 0.05


async def test_a_named_model_that_the_provider_lacks_gets_422(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(fails(404, "model_not_found"))
    assert_problem(await stream(client, model="other-model"), 422, "ai-model-unavailable", retryable=False)
