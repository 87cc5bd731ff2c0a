"""`POST /ai/responses` and `GET /ai/status`: valid bodies, the request to the provider, and the answer."""

from typing import Any

import httpx2
import pytest

from tests.ai.application import KEY, RESPONSES, STATUS, ask, ask_with, assert_problem, run_ai
from tests.ai.fake_provider import ANSWER, FakeProvider, Reply, Stream, answers, message, reply_json, response, text


@pytest.mark.parametrize("reply", [ANSWER, answers()], ids=["streamed", "whole, from a server that does not stream"])
async def test_an_answer_has_these_fields_and_no_others(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Stream | Reply
) -> None:
    provider.replies(reply)
    answer = await ask(client)
    body = answer.json()
    meta = body.pop("meta")
    assert answer.status_code == 200
    assert body == {
        "id": "resp_1",
        "model": "gpt-5.4-mini-2026-03-17",
        "status": "completed",
        "finish_reason": "stop",
        "output": {"type": "text", "text": "An answer.", "data": None},
        "usage": {
            "input_tokens": 30,
            "cached_input_tokens": 10,
            "output_tokens": 20,
            "reasoning_tokens": 5,
            "total_tokens": 50,
        },
    }
    assert meta.pop("latency_ms") > 0
    assert meta == {
        "request_id": answer.headers["X-Request-ID"],
        "provider_request_id": "req_1",
        "attempts": 1,
        "prompt_version": "responses-1",
    }


async def test_the_provider_gets_only_the_input_the_defaults_and_store_false(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(answers())
    await ask(client)
    (request,) = provider.requests
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "gpt-5.4-mini",
        "input": "Say something.",
        "max_output_tokens": 1024,
        "store": False,
        "stream": True,
    }


async def test_all_fields_of_the_body_are_sent(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(answers())
    given = {
        "input": "Quoi de neuf ? 🙂",
        "instructions": "Be brief.",
        "model": "other-model",
        "max_output_tokens": 16,
        "temperature": 0,
    }
    assert (await ask(client, **given, reasoning_effort="low")).status_code == 200
    sent = given | {"reasoning": {"effort": "low"}, "store": False, "stream": True}
    assert provider.requests[0].body == sent


async def test_variables_of_the_sdk_are_ignored(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    provider.replies(answers())
    await ask_with(provider)
    assert not {"openai-organization", "openai-project"} & provider.requests[0].headers.keys()


async def test_cookies_of_the_provider_are_not_stored(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(reply_json(response(), Set_Cookie="session=1; Path=/"))
    for _ in range(2):
        assert (await ask(client)).status_code == 200
    assert "cookie" not in provider.requests[1].headers


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", ""),
        ("input", "x" * 16_001),
        ("input", None),
        ("input", [{"role": "user", "content": "x"}]),
        ("instructions", "x" * 4_001),
        ("max_output_tokens", 15),
        ("max_output_tokens", 2_049),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("reasoning_effort", "enormous"),
        ("model", "not-allowed"),
        ("model", ""),
        ("store", True),
        ("tools", []),
        ("base_url", "http://127.0.0.1:1"),
        ("stream", True),
    ],
)
async def test_an_invalid_body_gets_422_and_the_provider_no_request(
    provider: FakeProvider, client: httpx2.AsyncClient, field: str, value: Any
) -> None:
    provider.replies(answers())
    answer = await ask(client, **{field: value})
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation-error"
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", field]]
    assert provider.requests == []


async def test_values_at_their_limits_are_accepted(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(answers())
    largest = {
        "input": "x" * 16_000,
        "instructions": "x" * 4_000,
        "max_output_tokens": 2_048,
        "temperature": 2,
    }
    assert (await ask(client, **largest)).status_code == 200


async def test_an_unknown_query_parameter_gets_422(client: httpx2.AsyncClient) -> None:
    assert (await client.post(f"{RESPONSES}?model=x", json={"input": "x"})).status_code == 422
    assert (await client.get(f"{STATUS}?x=1")).status_code == 422


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens_details": None, "output_tokens_details": {}},
        {"total_tokens": None, "input_tokens_details": {"cached_tokens": None}},
    ],
)
async def test_missing_usage_is_reported_as_zeros(
    provider: FakeProvider, client: httpx2.AsyncClient, usage: dict[str, Any] | None
) -> None:
    provider.replies(answers(usage=usage))
    counts = (await ask(client)).json()["usage"]
    assert len(counts) == 5
    assert set(counts.values()) == {0}


async def test_missing_usage_details_are_zeros_and_the_rest_is_kept(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    body = response(usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})
    del body["incomplete_details"]
    provider.replies(reply_json(body))
    assert (await ask(client)).json()["usage"] == {
        "input_tokens": 3,
        "cached_input_tokens": 0,
        "output_tokens": 2,
        "reasoning_tokens": 0,
        "total_tokens": 5,
    }


async def test_text_in_several_parts_is_joined(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(answers(output=[message(text("One, "), text("two")), message(text("."))]))
    assert (await ask(client)).json()["output"]["text"] == "One, two."


async def test_a_refusal_gets_200_refused_with_the_words_of_the_model(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(answers(output=[message({"type": "refusal", "refusal": "I cannot help with that."})]))
    answer = await ask(client)
    body = answer.json()
    assert (answer.status_code, body["status"], body["finish_reason"]) == (200, "refused", "refusal")
    assert body["output"] == {"type": "text", "text": "I cannot help with that.", "data": None}


@pytest.mark.parametrize(
    ("details", "finish_reason"),
    [
        ({"reason": "max_output_tokens"}, "max_output_tokens"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "something new"}, "other"),
        (None, "other"),
    ],
)
async def test_an_answer_that_was_cut_gets_200_incomplete(
    provider: FakeProvider, client: httpx2.AsyncClient, details: dict[str, str] | None, finish_reason: str
) -> None:
    provider.replies(answers(status="incomplete", incomplete_details=details, output=[message(text("An ans"))]))
    answer = await ask(client)
    body = answer.json()
    assert (answer.status_code, body["status"], body["finish_reason"]) == (200, "incomplete", finish_reason)
    assert body["output"]["text"] == "An ans"


async def test_an_answer_without_text_gets_200_incomplete(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(answers(status="incomplete", incomplete_details={"reason": "max_output_tokens"}, output=[]))
    body = (await ask(client)).json()
    assert (body["status"], body["output"]["text"]) == ("incomplete", "")


async def test_an_invalid_request_id_of_the_provider_is_left_out(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(reply_json(response(), X_Request_ID="not an id"))
    assert (await ask(client)).json()["meta"]["provider_request_id"] is None


@pytest.mark.parametrize("key", [None, "", "   "])
async def test_without_a_key_ai_gets_503_and_other_endpoints_work(provider: FakeProvider, key: str | None) -> None:
    async with run_ai(provider, openai_api_key=key) as client:
        assert_problem(await client.post(RESPONSES, json={"input": "x"}), 503, "ai-not-configured", retryable=False)
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get(STATUS)).json()["configured"] is False
    assert provider.requests == []


@pytest.mark.parametrize("key", ["sk-test\n", "sk-\r\nX-Injected: 1", "sk-tést", "sk test", "sk-\0"])
async def test_a_malformed_key_gets_502_and_the_provider_no_request(provider: FakeProvider, key: str) -> None:
    async with run_ai(provider, openai_api_key=key) as client:
        answer = await ask(client)
        assert_problem(answer, 502, "ai-provider-authentication-failed", retryable=False)
        assert key not in answer.text
    assert provider.requests == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "gopher://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/no/such/file"),
        ("SSL_CERT_FILE", __file__),
    ],
)
async def test_an_unusable_proxy_or_certificate_gets_503_and_other_endpoints_work(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    async with run_ai(provider) as client:
        assert_problem(await ask(client), 503, "ai-provider-unavailable", retryable=True)
        assert (await client.get("/health/live")).status_code == 200


async def test_status_tells_the_configuration_without_a_request_to_the_provider(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    answer = await client.get(STATUS)
    assert answer.status_code == 200
    assert answer.json() == {
        "configured": True,
        "default_model": "gpt-5.4-mini",
        "allowed_models": ["gpt-5.4-mini", "other-model"],
    }
    assert provider.requests == []
