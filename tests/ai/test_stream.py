"""An answer as a stream: `start`, pieces, then exactly one `done` or `error`; before `start`, an ordinary problem."""

import json
import logging
import time
from collections.abc import AsyncIterator
from itertools import repeat
from typing import Any

import httpx2
import pytest

from src.ai.constants import MAX_PROVIDER_STREAM_BYTES
from tests.ai.application import KEY, RESPONSES, ask, assert_problem, run_ai
from tests.ai.provider import (
    ANSWER,
    BEGINS,
    COMPLETES,
    HEARTBEAT,
    Provider,
    Reply,
    Stream,
    answers,
    event,
    fails,
    message,
    piece,
    response,
    text,
)

# Seconds.
SHORT = {
    "ai_deadline": 0.5,
    "ai_connect_timeout": 0.1,
    "ai_read_timeout": 0.4,
    "ai_stream_event_timeout": 0.3,
    # No test with a time waits for it.
    "ai_stream_deadline": 60,
}
AT_ONCE = 2

Events = list[tuple[str, Any]]


@pytest.fixture(scope="module")
async def hasty_client(shared_provider: Provider) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_ai(shared_provider, **SHORT) as client:
        yield client


async def stream(client: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    return await client.post(f"{RESPONSES}/stream", json={"input": "Say something."} | body)


def read(answer: httpx2.Response) -> Events:
    """Name and data of each event."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def names(events: Events) -> list[str]:
    return [name for name, _ in events]


def assert_error(events: Events, status: int, code: str) -> None:
    """`start`, pieces, and one `error`, which is a problem document."""
    assert names(events)[0] == "start"
    assert [name for name in names(events) if name in ("done", "error")] == ["error"] == names(events)[-1:]
    document = events[-1][1]
    assert (document["status"], document["code"]) == (status, code)
    assert document.keys() >= {"type", "title", "detail", "instance", "request_id", "retryable"}


async def test_a_stream_is_start_then_pieces_then_the_envelope(provider: Provider, client: httpx2.AsyncClient) -> None:
    provider.replies(ANSWER, answers())
    answer = await stream(client)
    events = read(answer)
    assert names(events) == ["start", "delta", "delta", "done"]
    assert events[0][1] == {"model": "gpt-5.4-mini", "request_id": answer.headers["X-Request-ID"]}
    assert [data for name, data in events if name == "delta"] == [
        {"seq": 0, "text": "An "},
        {"seq": 1, "text": "answer."},
    ]
    done, whole = events[-1][1], (await ask(client)).json()
    for changing in ("request_id", "latency_ms", "provider_request_id"):
        del done["meta"][changing], whole["meta"][changing]
    assert done == whole
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_the_provider_is_asked_for_a_stream_that_is_not_stored(
    provider: Provider, client: httpx2.AsyncClient
) -> None:
    provider.replies(ANSWER)
    await stream(client, temperature=0)
    (request,) = provider.requests
    assert request.path == "/v1/responses"
    assert request.body == {
        "model": "gpt-5.4-mini",
        "input": "Say something.",
        "max_output_tokens": 1024,
        "temperature": 0,
        "store": False,
        "stream": True,
    }


async def test_a_line_separator_in_a_piece_ends_no_line(provider: Provider, client: httpx2.AsyncClient) -> None:
    provider.replies(Stream([BEGINS, piece("a\u2028b\u0085c\r\nd 🙂"), COMPLETES]))
    answer = await stream(client)
    assert read(answer)[1] == ("delta", {"seq": 0, "text": "a\u2028b\u0085c\r\nd 🙂"})
    assert len(answer.text.splitlines()) == 9


async def test_a_refusal_is_streamed_and_said_to_be_one(provider: Provider, client: httpx2.AsyncClient) -> None:
    refused = response(output=[message({"type": "refusal", "refusal": "I cannot."})])
    provider.replies(
        Stream(
            [BEGINS, event("response.refusal.delta", delta="I cannot."), event("response.completed", response=refused)]
        )
    )
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "done"]
    assert events[-1][1]["status"] == "refused"


async def test_an_answer_that_was_cut_is_done_and_incomplete(provider: Provider, client: httpx2.AsyncClient) -> None:
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[message(text("A"))])
    provider.replies(Stream([BEGINS, piece("A"), event("response.incomplete", response=cut)]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "done"]
    assert (events[-1][1]["status"], events[-1][1]["finish_reason"]) == ("incomplete", "max_output_tokens")


async def test_events_that_nobody_here_knows_are_passed_over(provider: Provider, client: httpx2.AsyncClient) -> None:
    odd = [
        event("response.new_thing", thing={"delta": 5}),
        event("keepalive"),
        HEARTBEAT,
    ]
    provider.replies(Stream([BEGINS, *odd, piece("A"), COMPLETES]))
    assert names(read(await stream(client))) == ["start", "delta", "done"]


BEFORE_THE_START = {
    "a wrong key": (fails(401), 502, "ai-provider-authentication-failed", False),
    "rate": (fails(429, Retry_After="30"), 429, "ai-rate-limited", True),
    "context": (fails(400, "context_length_exceeded"), 413, "ai-input-too-large", False),
    "500": (fails(500), 503, "ai-provider-unavailable", True),
    "dropped": (Reply(drops=True), 503, "ai-provider-unavailable", True),
    "redirect": (Reply(status=302, headers={"Location": "/"}), 502, "ai-invalid-provider-response", False),
    "HTML": (Reply(b"<html></html>"), 502, "ai-invalid-provider-response", False),
    "an empty body": (Reply(), 502, "ai-invalid-provider-response", False),
    "no stream": (answers(), 502, "ai-invalid-provider-response", False),
    "no event": (Stream([]), 502, "ai-invalid-provider-response", False),
    "only a heartbeat": (Stream([HEARTBEAT]), 502, "ai-invalid-provider-response", False),
    "no event, cut short": (Stream([], ends="cut short"), 502, "ai-invalid-provider-response", False),
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
async def test_a_failure_before_the_first_event_is_an_ordinary_problem(
    provider: Provider, client: httpx2.AsyncClient, reply: Reply | Stream, status: int, code: str, retryable: bool
) -> None:
    provider.replies(reply)
    assert_problem(await stream(client), status, code, retryable=retryable)


async def test_a_failure_before_the_first_event_is_tried_again(provider: Provider, client: httpx2.AsyncClient) -> None:
    provider.replies(Stream([event("error", code="server_error")]), ANSWER)
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "delta", "done"]
    assert events[-1][1]["meta"]["attempts"] == 2


FAILED = {"status": "failed", "error": {"code": "server_error", "message": "Oh."}}
AFTER_THE_START = {
    "ends cleanly": (Stream([BEGINS, piece("An ")]), 502, "ai-invalid-provider-response"),
    "ends with DONE": (Stream([BEGINS, b"data: [DONE]\n\n"]), 502, "ai-invalid-provider-response"),
    "cut short": (Stream([BEGINS, piece("An ")], ends="cut short"), 502, "ai-invalid-provider-response"),
    "cut in an event": (Stream([BEGINS, piece("An ")[:-9]], ends="cut short"), 502, "ai-invalid-provider-response"),
    "bad JSON": (Stream([BEGINS, b"data: {bad\n\n"]), 502, "ai-invalid-provider-response"),
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
    "nothing more": (Stream([BEGINS, piece("An ")], ends="never"), 504, "ai-timeout"),
    "heartbeats that never end": (Stream([BEGINS, *repeat(HEARTBEAT, 100)], pause=0.05), 504, "ai-timeout"),
    "heartbeats as events": (
        Stream([BEGINS, *repeat(event("response.in_progress", response=response()), 100)], pause=0.05),
        504,
        "ai-timeout",
    ),
    "a trickle": (Stream([BEGINS, *(bytes([byte]) for byte in piece("A"))], pause=0.05), 504, "ai-timeout"),
}


@pytest.mark.parametrize(("reply", "status", "code"), AFTER_THE_START.values(), ids=AFTER_THE_START)
async def test_a_failure_after_the_start_is_one_error_event_in_time(
    provider: Provider, hasty_client: httpx2.AsyncClient, reply: Stream, status: int, code: str
) -> None:
    provider.replies(reply)
    started = time.perf_counter()
    assert_error(read(await stream(hasty_client)), status, code)
    assert time.perf_counter() - started < AT_ONCE
    assert len(provider.requests) == 1


async def test_pieces_that_never_end_are_ended_by_the_deadline_of_the_stream(provider: Provider) -> None:
    provider.replies(Stream([BEGINS, *repeat(piece("A"), 200)], pause=0.05))
    async with run_ai(provider, **SHORT | {"ai_stream_deadline": 0.6}) as client:
        started = time.perf_counter()
        assert_error(read(await stream(client)), 504, "ai-timeout")
        assert time.perf_counter() - started < AT_ONCE


@pytest.mark.parametrize(
    "reply",
    [Reply(hangs=True), Stream([], ends="never"), Stream(repeat(HEARTBEAT, 100), pause=0.05)],
    ids=["no head", "no event", "heartbeats"],
)
async def test_a_stream_that_does_not_begin_is_504_within_the_deadline(
    provider: Provider, hasty_client: httpx2.AsyncClient, reply: Reply | Stream
) -> None:
    provider.replies(reply)
    started = time.perf_counter()
    assert_problem(await stream(hasty_client), 504, "ai-timeout", retryable=True)
    assert time.perf_counter() - started < AT_ONCE


async def test_progress_without_text_keeps_a_stream_alive(provider: Provider, hasty_client: httpx2.AsyncClient) -> None:
    thinks = event("response.reasoning_summary_text.delta", delta="Hm.")
    provider.replies(Stream([BEGINS, *repeat(thinks, 6), piece("A"), COMPLETES], pause=0.1))
    assert names(read(await stream(hasty_client))) == ["start", "delta", "done"]


async def test_a_stream_without_end_of_line_is_not_read_for_ever(
    provider: Provider, client: httpx2.AsyncClient
) -> None:
    chunk = b"x" * 65_536
    provider.replies(Stream([BEGINS, b"data: ", *repeat(chunk, 2 * MAX_PROVIDER_STREAM_BYTES // len(chunk))]))
    assert_error(read(await stream(client)), 502, "ai-invalid-provider-response")


async def test_a_named_model_that_the_provider_lacks_is_422(provider: Provider, client: httpx2.AsyncClient) -> None:
    provider.replies(fails(404, "model_not_found"))
    assert_problem(await stream(client, model="other-model"), 422, "ai-model-unavailable", retryable=False)


@pytest.mark.parametrize("body", [{"input": ""}, {"model": "not-allowed"}, {"stream": True}])
async def test_what_may_not_be_asked_is_422_and_the_provider_is_not(
    provider: Provider, client: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    provider.replies(ANSWER)
    answer = await stream(client, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert provider.requests == []


async def test_what_a_stream_says_is_not_logged(
    provider: Provider, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = f"said-4714 {KEY}"
    provider.replies(
        Stream([BEGINS, piece("answer-4713"), event("error", code="server_error", message=said)]),
        Stream([BEGINS, b"data: " + said.encode() + b"\n\n"]),
        Stream([BEGINS, event("error", error={"code": said, "message": said})]),
    )
    answers = [await stream(client, input="prompt-4711") for _ in range(3)]
    assert [names(read(answer))[-1] for answer in answers] == ["error"] * 3
    logged = caplog.text + repr([vars(record) for record in caplog.records])
    for secret in ("said-4714", "prompt-4711", "answer-4713", KEY):
        assert secret not in logged
    for secret in ("said-4714", "prompt-4711", KEY):
        assert secret not in "".join(answer.text for answer in answers)
    calls = [vars(record) for record in caplog.records if record.name == "src.ai.telemetry"]
    assert [call["code"] for call in calls] == [
        "ai-provider-unavailable",
        "ai-invalid-provider-response",
        "ai-provider-rejected-request",
    ]
