"""What servers that people run themselves really send gets callers the right status and code."""

import httpx2
import pytest

from tests.ai.application import ask, ask_with, assert_problem, run_ai
from tests.ai.fake_provider import BEGINS, FakeProvider, Reply, Stream, piece
from tests.ai.server_bodies import sent, streamed
from tests.ai.streams import assert_error, names, read, stream

ERRORS = {
    "llama.cpp: context": (sent("llama-context"), 413, "ai-input-too-large"),
    "llama.cpp of 2025: context": (sent("llama-context", 500), 413, "ai-input-too-large"),
    "llama.cpp: context, as an event": (streamed("llama-context-in-stream"), 413, "ai-input-too-large"),
    "llama.cpp: wrong key": (sent("llama-wrong-key", 401), 502, "ai-provider-authentication-failed"),
    "llama.cpp: no such API": (sent("llama-no-such-api", 404), 502, "ai-invalid-provider-response"),
    "llama.cpp: bad field": (sent("llama-bad-field"), 502, "ai-provider-rejected-request"),
    "vLLM: context": (sent("vllm-context"), 413, "ai-input-too-large"),
    "vLLM of 2025: context": (sent("vllm-context-of-2025"), 413, "ai-input-too-large"),
    "vLLM of 2025: context, in the engine": (sent("vllm-context-of-2025-in-engine"), 413, "ai-input-too-large"),
    "LiteLLM: context": (sent("litellm-context"), 413, "ai-input-too-large"),
    "LiteLLM: unknown model": (sent("litellm-unknown-model"), 502, "ai-model-unavailable"),
    "LiteLLM: wrong key": (sent("litellm-wrong-key"), 502, "ai-provider-authentication-failed"),
    "LiteLLM: bad field": (sent("litellm-bad-field"), 502, "ai-provider-rejected-request"),
    "LiteLLM: server gone": (sent("litellm-server-gone", 500), 503, "ai-provider-unavailable"),
}
BREAKS = {
    "LiteLLM: context": (streamed("litellm-context-in-stream"), 413, "ai-input-too-large"),
    "LiteLLM: server lost": (streamed("litellm-server-lost-in-stream"), 503, "ai-provider-unavailable"),
    "server lost": (Stream([BEGINS, piece("A")], ends="cut short"), 503, "ai-provider-unavailable"),
    "server lost behind a proxy that says nothing": (Stream([BEGINS, piece("A")]), 503, "ai-provider-unavailable"),
}


@pytest.mark.parametrize(("reply", "status", "code"), ERRORS.values(), ids=ERRORS)
async def test_each_error_of_a_server_has_its_code(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply | Stream, status: int, code: str
) -> None:
    provider.replies(reply)
    for answer in (await ask(client), await stream(client)):
        assert_problem(answer, status, code, retryable=status == 503)


@pytest.mark.parametrize(("reply", "status", "code"), BREAKS.values(), ids=BREAKS)
async def test_a_stream_that_breaks_off_has_the_code_of_its_reason(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Stream, status: int, code: str
) -> None:
    provider.replies(reply)
    events = read(await stream(client))
    assert_error(events, status, code)
    assert events[-1][1]["retryable"] is (status == 503)
    assert_problem(await ask(client), status, code, retryable=status == 503)


@pytest.mark.parametrize(
    "lost", [reply for reply, status, _ in BREAKS.values() if status == 503], ids=["LiteLLM", "direct", "proxy"]
)
async def test_a_lost_stream_counts_as_an_outage(provider: FakeProvider, lost: Stream) -> None:
    provider.replies(lost)
    async with run_ai(provider, ai_breaker_failures=2) as client:
        for _ in range(2):
            assert names(read(await stream(client)))[-1] == "error"
        assert_problem(await ask(client), 503, "ai-circuit-open", retryable=True)


async def test_a_named_model_that_litellm_lacks_gets_422(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(sent("litellm-unknown-model"))
    assert_problem(await ask(client, model="other-model"), 422, "ai-model-unavailable", retryable=False)


@pytest.mark.parametrize("cut", [streamed("llama-cut"), streamed("litellm-cut")], ids=["llama.cpp", "LiteLLM"])
async def test_an_answer_that_a_server_has_cut_is_incomplete(
    provider: FakeProvider, client: httpx2.AsyncClient, cut: Stream
) -> None:
    provider.replies(cut)
    for body in (
        (await ask(client, max_output_tokens=16)).json(),
        read(await stream(client, max_output_tokens=16))[-1][1],
    ):
        assert (body["status"], body["finish_reason"]) == ("incomplete", "max_output_tokens")
        assert body["output"]["text"] == "Hello"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, []),
        ({"temperature": 0.0}, ["temperature"]),
        ({"reasoning_effort": "low"}, ["reasoning_effort"]),
        ({"temperature": 1.0, "reasoning_effort": "low"}, ["temperature", "reasoning_effort"]),
    ],
)
async def test_the_detail_of_a_rejected_request_names_only_what_was_sent(
    provider: FakeProvider, client: httpx2.AsyncClient, options: dict[str, object], named: list[str]
) -> None:
    provider.replies(sent("llama-bad-field"))
    for answer in (await ask(client, **options), await stream(client, **options)):
        detail = answer.json()["detail"]
        assert [name for name in ("temperature", "reasoning_effort", "instructions") if name in detail] == named


async def test_a_server_that_is_not_there_is_looked_for_at_its_variable() -> None:
    answer = await ask_with()
    assert_problem(answer, 503, "ai-provider-unavailable", retryable=True)
    assert "OPENAI_BASE_URL" in answer.json()["detail"]
