"""Answers that are JSON objects: in any wrapping, asked for again once, and a problem that says what is wrong."""

import json
import time
from typing import Any

import httpx2
import pytest

from src.ai.structured_output import Unfit, parse_object
from src.config import DatabaseSettings
from tests.ai.application import KEY, ai_settings, assert_problem, run_ai
from tests.ai.fake_provider import BEGINS, FakeProvider, Reply, Stream, answers, fails, message, piece, text
from tests.ai.server_bodies import sent
from tests.application import run_application

QUERY = "/api/v1/ai/audits/query"
OBJECT = {"actor_id": "u-17", "unsupported": []}
JSON = json.dumps(OBJECT)
CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def says(value: str, **changes: Any) -> Reply:
    return answers(output=[message(text(value))], **changes)


async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post(QUERY, json={"question": "What did u-17 do?", "dry_run": True})


@pytest.mark.parametrize(
    "wrapped",
    [
        JSON,
        f"\n {json.dumps(OBJECT, indent=2)} \n",
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```\nThis finds what you want.",
        f"Here is the filter: {JSON} It has one condition.",
        f"The filter [1]:\n```json\n{JSON}\n```\n[1] It has one condition.",
        f'<think>\nMaybe {{"actor_id": "u-18"}}?\n</think>\n\n{JSON}',
        f'No opening tag: [1] {{"a": 1}}</think>{JSON}',
        f"<think>One.</think> <think>Two.</think>\n```json\n{JSON}\n```",
    ],
)
def test_an_object_is_unwrapped(wrapped: str) -> None:
    assert parse_object(wrapped) == OBJECT


@pytest.mark.parametrize("value", ["</think>", "```json", "<think>{", "} {", "["])
def test_text_in_an_object_is_no_wrapping(value: str) -> None:
    assert parse_object(json.dumps({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    "wrapped",
    [
        f"{JSON}\n{JSON}",
        f"[{JSON}]",
        f"Results: [{JSON}]",
        f"{JSON} or {{}}",
        f"```json\n{JSON}\n```\nOr {{}}.",
        f"```json\n{JSON}\n```\n```json\n{JSON}\n```",
        f"```json\n[{JSON}]\n```",
        f"<think>It is [\n```json\n{JSON}\n```",
        f"{{}} {JSON}",
        f"<think>It is {JSON}",
        f"<think>It is {JSON}</think>",
        '{"a": 1, "a": 2}',
        'It is {"a": 1, "a": 2}.',
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1 // one\n}',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": ',
        "null",
        '"text"',
        "5",
        "",
        " ",
        "[" * 100_000,
        '{"a":' * 100_000,
        "}{",
        "__import__('os')",
    ],
    ids=lambda value: value[:40],
)
def test_anything_else_is_refused(wrapped: str) -> None:
    started = time.perf_counter()
    with pytest.raises(Unfit):
        parse_object(wrapped)
    assert time.perf_counter() - started < 1


async def test_a_model_that_wrote_another_form_is_asked_once_more_and_told_why(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(says("Sure! {'actor_id': 'u-17'}"), says(JSON))
    answer = await ask(client)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["filter"]["actor_id"] == ["u-17"]
    assert (body["usage"]["total_tokens"], body["usage"]["reasoning_tokens"], body["meta"]["attempts"]) == (100, 10, 2)
    first, second = (request.body for request in provider.requests)
    assert second | {"input": first["input"]} == first
    told = second["input"].removeprefix(first["input"])
    assert "Sure! {'actor_id': 'u-17'}" in told
    assert "one well-formed JSON object" in told


async def test_what_the_model_is_told_is_bounded(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(says("{" + "x" * 100_000), says(JSON))
    assert (await ask(client)).status_code == 200
    first, second = (request.body["input"] for request in provider.requests)
    assert len(second) - len(first) < 1_000
    assert KEY not in second


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        (["I cannot help.", "Really not."], "ai-structured-output-unsupported"),
        (["<think>Hm. {</think>No.", "Really not."], "ai-structured-output-unsupported"),
        (["I cannot help.", "{"], "ai-invalid-provider-response"),
        (['{"a": 1}', "I cannot help."], "ai-invalid-provider-response"),
        (["[]", "[]"], "ai-invalid-provider-response"),
        (['{"type": "object", "properties": {}}'] * 2, "ai-invalid-provider-response"),
    ],
)
async def test_two_unusable_answers_are_a_problem_that_says_whether_there_was_any_json(
    provider: FakeProvider, client: httpx2.AsyncClient, replies: list[str], code: str
) -> None:
    provider.replies(*map(says, replies))
    answer = await ask(client)
    assert_problem(answer, 502, code, retryable=False)
    assert len(provider.requests) == 2
    assert ("OPENAI_BASE_URL" in answer.json()["detail"]) is (code == "ai-structured-output-unsupported")
    assert "cannot help" not in answer.text


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (answers(output=[message({"type": "refusal", "refusal": "No."})]), 422, "ai-content-rejected"),
        (says('{"actor_id": "u-1', **CUT), 502, "ai-invalid-provider-response"),
        (says("<think>Is it {", **CUT), 502, "ai-invalid-provider-response"),
        (says("", **CUT), 502, "ai-invalid-provider-response"),
        (says("<think>{}</think>", **CUT), 502, "ai-invalid-provider-response"),
    ],
    ids=["refused", "cut", "a thought is cut", "thoughts without a text", "a thought alone"],
)
async def test_an_answer_that_was_refused_or_cut_is_not_asked_for_again(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply, status: int, code: str
) -> None:
    provider.replies(reply)
    assert_problem(await ask(client), status, code, retryable=False)
    assert len(provider.requests) == 1


async def test_a_model_that_wrote_words_until_it_was_cut_is_asked_once_more(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(says("Well, to find out what u-17 did,", **CUT), says(JSON))
    assert (await ask(client)).json()["filter"]["actor_id"] == ["u-17"]
    assert "too long before it had a JSON object" in provider.requests[1].body["input"]
    provider.replies(says("Well,", **CUT))
    assert_problem(await ask(client), 502, "ai-structured-output-unsupported", retryable=False)


ADVICE = {
    "an object is cut": (says('{"a": ', **CUT), {"shorten", "another model"}),
    "the context is too small": (sent("llama-context"), {"shorten", "larger context"}),
    "too slow": (Stream([BEGINS, *[piece("{")] * 200], pause=0.05), {"shorten", "setting"}),
    "thoughts alone": (says("<think>Hm", **CUT), {"AI_MODEL"}),
}


@pytest.mark.parametrize(("reply", "advised"), ADVICE.values(), ids=ADVICE)
async def test_a_problem_says_what_its_caller_can_do(
    provider: FakeProvider, reply: Reply | Stream, advised: set[str], database_of_module: DatabaseSettings
) -> None:
    provider.replies(reply)
    settings = ai_settings(provider, ai_query_deadline=1, ai_summary_deadline=1)
    async with run_application(database_of_module, settings) as client:
        question, summary = await ask(client), await client.post("/api/v1/ai/audits/summary", json={})
    for answer, shorten, setting in (
        (question, "Ask a shorter question", "AI_QUERY_DEADLINE"),
        (summary, "Set a smaller max_records", "AI_SUMMARY_DEADLINE"),
    ):
        texts = {name: name for name in ("larger context", "another model", "AI_MODEL")}
        texts |= {"shorten": shorten, "setting": setting}
        assert {name for name, text in texts.items() if text in answer.json()["detail"]} == advised, answer.text


async def test_a_failure_of_the_second_call_is_the_problem(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(says("No."), fails(429, Retry_After="30"))
    assert_problem(await ask(client), 429, "ai-rate-limited", retryable=True)


async def test_both_calls_share_one_deadline(provider: FakeProvider) -> None:
    provider.replies(Reply(says("No.").body, delay=0.6), Reply(says(JSON).body, delay=0.6))
    async with run_ai(provider, ai_query_deadline=1, ai_connect_timeout=0.1, ai_place_timeout=0.1) as client:
        started = time.perf_counter()
        answer = await ask(client)
        assert time.perf_counter() - started < 1.5
    assert_problem(answer, 502, "ai-invalid-provider-response", retryable=False)
    assert "no time" in answer.json()["detail"]
