"""Bodies that differ from the API's but hold the whole text are answers; errors in odd forms get the right problem."""

import gzip
import json
from typing import Any

import httpx2
import pytest

from tests.ai.application import ask, assert_problem
from tests.ai.fake_provider import (
    ANSWER,
    BEGINS,
    FakeProvider,
    Reply,
    Stream,
    answers,
    completes,
    event,
    message,
    piece,
    reply_json,
    response,
    text,
)
from tests.ai.streams import assert_error, names, read, stream

ALL = message(text("An answer."))
USED = {"input_tokens": 30, "cached_input_tokens": 0, "output_tokens": 20, "reasoning_tokens": 0, "total_tokens": 50}
NONE_USED = dict.fromkeys(USED, 0)

ODD_USAGES: dict[str, tuple[Any, dict[str, int]]] = {
    "null": (None, NONE_USED),
    "{}": ({}, NONE_USED),
    "a text": ("none", NONE_USED),
    "a list": ([1, 2], NONE_USED),
    "numbers as texts": ({"input_tokens": "30", "output_tokens": "20", "total_tokens": "50"}, USED),
    "words": ({"input_tokens": 30, "output_tokens": "20", "total_tokens": "many"}, USED | {"total_tokens": 0}),
    "negative": ({"input_tokens": -1, "output_tokens": 20, "total_tokens": 50}, USED | {"input_tokens": 0}),
    "a truth": ({"input_tokens": True, "output_tokens": 20, "total_tokens": 50}, USED | {"input_tokens": 0}),
    "fractions": ({"input_tokens": 30.0, "output_tokens": 2.5, "total_tokens": 50}, USED | {"output_tokens": 0}),
    "odd details": (
        {
            "input_tokens": 30,
            "input_tokens_details": "none",
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": {}},
            "total_tokens": 50,
        },
        USED,
    ),
}
ODD_FIELDS: dict[str, dict[str, Any]] = {
    "id is null": {"id": None},
    "id is a number": {"id": 5},
    "model is null": {"model": None},
    "details of an end are a text": {"incomplete_details": "none"},
    "content of another item is null": {"output": [{"type": "reasoning", "content": None, "summary": None}, ALL]},
    "content of another message is null": {"output": [message() | {"content": None}, ALL]},
    "another message has no content": {"output": [{"type": "message"}, ALL]},
    "an item without a type": {"output": [{"id": "x"}, ALL]},
    "an item whose type is no text": {"output": [{"type": ["message"]}, ALL]},
    "an unknown item": {"output": [{"type": "mcp_call", "output": {"content": 5}, "content": [5]}, ALL]},
    "a part without a type": {"output": [message({"id": "x"}, text("An answer."))]},
    "another part is null": {"output": [message(text("") | {"text": None}, text("An answer."))]},
    "a refusal is null": {"output": [message({"type": "refusal", "refusal": None}, text("An answer."))]},
    "content is a text": {"output": [message() | {"content": "An answer."}]},
    "a part is called text": {"output": [message({"type": "text", "text": "An answer."})]},
    "annotations are null": {"output": [message(text("An answer.") | {"annotations": None, "logprobs": "x"})]},
    "no status": {"status": None},
}


def in_all_forms(**odd: Any) -> dict[str, Reply | Stream]:
    return {
        "plain": answers(**odd),
        "streamed": Stream([BEGINS, piece("An "), piece("answer."), completes(**odd)]),
        "at the end": Stream([BEGINS, completes(**odd)]),
    }


@pytest.mark.parametrize(("usage", "expected"), ODD_USAGES.values(), ids=ODD_USAGES)
async def test_of_an_odd_usage_is_taken_what_is_known(
    provider: FakeProvider, client: httpx2.AsyncClient, usage: Any, expected: dict[str, int]
) -> None:
    for reply in in_all_forms(usage=usage).values():
        provider.replies(reply)
        for body in ((await ask(client)).json(), read(await stream(client))[-1][1]):
            assert (body["status"], body["output"]["text"], body["usage"]) == ("completed", "An answer.", expected)


@pytest.mark.parametrize("odd", ODD_FIELDS.values(), ids=ODD_FIELDS)
async def test_a_whole_text_is_an_answer_whatever_is_around_it(
    provider: FakeProvider, client: httpx2.AsyncClient, odd: dict[str, Any]
) -> None:
    for reply in in_all_forms(**odd).values():
        provider.replies(reply)
        for body in ((await ask(client)).json(), read(await stream(client))[-1][1]):
            assert (body["status"], body["output"]["text"]) == ("completed", "An answer.")
            assert body["id"] == ("" if "id" in odd else "resp_1")
            assert body["model"] == ("gpt-5.4-mini" if "model" in odd else "gpt-5.4-mini-2026-03-17")


@pytest.mark.parametrize(
    "end",
    [
        event("response.completed"),
        event("response.completed", response=None),
        event("response.completed", response={}),
        completes(output=None),
        completes(output=[message() | {"content": None}]),
    ],
)
async def test_an_end_without_a_text_ends_what_was_streamed(
    provider: FakeProvider, client: httpx2.AsyncClient, end: bytes
) -> None:
    empty = event("response.output_text.delta", delta=None)
    provider.replies(Stream([BEGINS, piece("An "), empty, piece("answer."), end]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "delta", "done"]
    for body in ((await ask(client)).json(), events[-1][1]):
        assert (body["status"], body["output"]["text"]) == ("completed", "An answer.")
    provider.replies(Stream([BEGINS, end]))
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("response.completed", "incomplete", "incomplete"),
        ("response.incomplete", "completed", "incomplete"),
        ("response.incomplete", None, "incomplete"),
    ],
)
async def test_an_answer_is_no_more_complete_than_its_event_and_its_status_say(
    provider: FakeProvider, client: httpx2.AsyncClient, kind: str, status: str | None, expected: str
) -> None:
    provider.replies(Stream([BEGINS, event(kind, response=response(status=status))]))
    assert (await ask(client)).json()["status"] == expected


MAY_HOLD_TEXT: dict[str, list[Any]] = {
    "an item that is a text": ["More.", ALL],
    "content is an object": [message() | {"content": {"text": "More."}}, ALL],
    "a part is a text": [message(text("An answer.")) | {"content": ["More.", text("An answer.")]}],
    "a text is a number": [message(text("An answer."), text("") | {"text": 5})],
    "a text is missing": [message(text("An answer."), {"type": "output_text"})],
}


@pytest.mark.parametrize("output", MAY_HOLD_TEXT.values(), ids=MAY_HOLD_TEXT)
async def test_what_may_hold_more_of_the_text_is_not_skipped(
    provider: FakeProvider, client: httpx2.AsyncClient, output: list[Any]
) -> None:
    provider.replies(answers(output=output))
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)
    provider.replies(Stream([BEGINS, piece("An "), completes(output=output)]))
    assert_error(read(await stream(client)), 502, "ai-invalid-provider-response")


FAILURE = (503, "ai-provider-unavailable")
ODD_ERRORS: dict[str, tuple[Any, tuple[int, str]]] = {
    "null": (None, FAILURE),
    "a text": ("Something broke.", FAILURE),
    "an empty object": ({}, FAILURE),
    "a list": (["Something broke."], FAILURE),
    "a number": (5, FAILURE),
    "a message without a code": ({"message": "Something broke."}, FAILURE),
    "a failure of a server by its type": ({"type": "InternalServerError", "message": "No."}, FAILURE),
    "a text about the context": ("This model's maximum context length is 4096 tokens.", (413, "ai-input-too-large")),
    "a message about the context": (
        {"message": "the request exceeds the available context size"},
        (413, "ai-input-too-large"),
    ),
    "a text about the model": ("model 'x' not found, try pulling it first", (502, "ai-model-unavailable")),
    "a wrong key": ({"code": "invalid_api_key"}, (502, "ai-provider-authentication-failed")),
    "a status as a text": ({"code": "429", "message": "Slow down."}, (429, "ai-rate-limited")),
}


@pytest.mark.parametrize(("error", "expected"), ODD_ERRORS.values(), ids=ODD_ERRORS)
async def test_an_error_in_an_odd_form_gets_the_right_problem(
    provider: FakeProvider, impatient_client: httpx2.AsyncClient, error: Any, expected: tuple[int, str]
) -> None:
    status, code = expected
    retryable = status in (429, 503)
    failed = response(status="failed", error=error, output=[])
    replies: list[Reply | Stream] = [
        reply_json(failed),
        Stream([event("response.failed", response=failed)]),
        Stream([event("response.failed", response=failed | {"status": None})]),
        Stream([event("response.failed", response=failed | {"status": "completed"})]),
        Stream([event("error", error=error)]),
        *([Stream([event("error", message=error)])] if isinstance(error, str) else []),
        *([Stream([b"event: error\ndata: " + said + b"\n\n"]) for said in _as_data(error)]),
    ]
    for reply in replies:
        provider.replies(reply)
        for answer in (await ask(impatient_client), await stream(impatient_client)):
            assert_problem(answer, status, code, retryable=retryable)


def _as_data(error: Any) -> list[bytes]:
    """A text as it is, and as JSON."""
    return [error.encode(), json.dumps(error).encode()] if isinstance(error, str) else []


async def test_an_error_event_of_text_alone_in_mid_stream_is_a_failure(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(Stream([BEGINS, piece("An "), b"event: error\ndata: upstream \xff failed\n\n"]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "error"]
    assert_error(events, *FAILURE)
    assert events[-1][1]["retryable"]


@pytest.mark.parametrize("form", ["plain", "stream"])
async def test_a_compressed_body_gets_a_problem_that_says_who_has_to_do_what(
    provider: FakeProvider, client: httpx2.AsyncClient, form: str
) -> None:
    coding = {"Content-Encoding": "gzip"}
    body = gzip.compress(answers().body if form == "plain" else b"".join(ANSWER.pieces))
    provider.replies(Reply(body, headers=coding) if form == "plain" else Stream([body], headers=coding))
    for answer in (await ask(client), await stream(client)):
        assert_problem(answer, 502, "ai-invalid-provider-response", retryable=False)
        assert "The operator has to switch that off" in answer.json()["detail"]


@pytest.mark.parametrize("coding", ["", "Identity"])
async def test_a_coding_that_is_none_is_no_compression(
    provider: FakeProvider, client: httpx2.AsyncClient, coding: str
) -> None:
    provider.replies(Reply(answers().body, headers={"Content-Encoding": coding}))
    assert (await ask(client)).json()["output"]["text"] == "An answer."


async def test_a_missing_model_is_told_by_a_text_alone(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(reply_json({"error": "model 'gpt-5.4-mini' not found, try pulling it first"}, 404))
    assert_problem(await ask(client), 502, "ai-model-unavailable", retryable=False)
