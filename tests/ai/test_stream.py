"""Streams that succeed: `start`, pieces of text, then `done`. `test_stream_failures.py` has the others."""

import logging
from typing import Any

import httpx2
import pytest

from src.ai.client import AIClient
from src.ai.prompt import Prompt
from tests.ai.application import KEY, ai_settings, ask
from tests.ai.fake_provider import (
    ANSWER,
    BEGINS,
    COMPLETES,
    HEARTBEAT,
    FakeProvider,
    Stream,
    answers,
    completes,
    event,
    message,
    piece,
    response,
    text,
)
from tests.ai.streams import names, read, stream


async def test_a_stream_is_start_then_pieces_then_the_whole_answer(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
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
    assert answer.headers.get_list("Cache-Control") == ["no-store"]


async def test_pieces_that_arrive_together_are_handed_over_together(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS, piece("A") + piece("n ") + piece("answer."), COMPLETES], pause=0.05))
    client = AIClient(ai_settings(provider))
    prompt = Prompt(version="test", model="gpt-5.4-mini", input="x")
    assert [event async for event in client.stream(prompt)][:2] == [[], ["A", "n ", "answer."]]
    await client.close()


async def test_the_provider_gets_stream_true_and_store_false(
    provider: FakeProvider, client: httpx2.AsyncClient
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


async def test_a_line_separator_in_a_piece_does_not_end_the_line(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(Stream([BEGINS, piece("a\u2028b\u0085c\r\nd 🙂"), completes(output=[])]))
    answer = await stream(client)
    assert read(answer)[1] == ("delta", {"seq": 0, "text": "a\u2028b\u0085c\r\nd 🙂"})
    assert len(answer.text.splitlines()) == 9


async def test_a_refusal_is_streamed_and_ends_as_refused(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    refused = response(output=[message({"type": "refusal", "refusal": "I cannot."})])
    provider.replies(
        Stream(
            [BEGINS, event("response.refusal.delta", delta="I cannot."), event("response.completed", response=refused)]
        )
    )
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "done"]
    assert events[-1][1]["status"] == "refused"


async def test_an_answer_that_was_cut_ends_with_done_as_incomplete(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[message(text("A"))])
    provider.replies(Stream([BEGINS, piece("A"), event("response.incomplete", response=cut)]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "done"]
    assert (events[-1][1]["status"], events[-1][1]["finish_reason"]) == ("incomplete", "max_output_tokens")


async def test_unknown_events_are_skipped(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    odd = [
        event("response.new_thing", thing={"delta": 5}),
        event("keepalive"),
        HEARTBEAT,
    ]
    provider.replies(Stream([BEGINS, *odd, piece("An answer."), COMPLETES]))
    assert names(read(await stream(client))) == ["start", "delta", "done"]


@pytest.mark.parametrize(
    "silent",
    [b"retry: 3000\n\n", b"id: 1\n\n", b"event: ping\n\n", b"id: 1\nretry: 3000\n" + HEARTBEAT * 2],
)
async def test_events_without_data_are_skipped(
    provider: FakeProvider, client: httpx2.AsyncClient, silent: bytes
) -> None:
    provider.replies(Stream([silent, BEGINS, silent, piece("An answer."), HEARTBEAT, COMPLETES]))
    assert names(read(await stream(client))) == ["start", "delta", "done"]


@pytest.mark.parametrize("body", [{"input": ""}, {"model": "not-allowed"}, {"stream": True}])
async def test_an_invalid_body_gets_422_and_the_provider_no_request(
    provider: FakeProvider, client: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    provider.replies(ANSWER)
    answer = await stream(client, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-error")
    assert provider.requests == []


async def test_the_texts_of_a_stream_are_not_logged(
    provider: FakeProvider, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
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
