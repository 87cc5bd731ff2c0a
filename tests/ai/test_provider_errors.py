"""Each error of the provider gets callers a status and a code; none gets 500."""

import gzip
import time

import httpx2
import pytest

from src.ai.constants import MAX_PROVIDER_BODY_BYTES
from tests.ai.application import RESPONSES, ask, ask_with, assert_problem
from tests.ai.fake_provider import FakeProvider, Reply, Stream, answers, fails, message, reply_json, response
from tests.ai.streams import stream

HTML = b"<!doctype html><html><body>Welcome</body></html>"
BODY = answers().body

ERRORS = {
    "a wrong key": (fails(401, "invalid_api_key"), 502, "ai-provider-authentication-failed"),
    "no permission": (fails(403, "unsupported_country_region_territory"), 502, "ai-provider-permission-denied"),
    "no permission for a model": (fails(403, "model_not_found"), 502, "ai-provider-permission-denied"),
    "no such model": (fails(404, "model_not_found"), 502, "ai-model-unavailable"),
    "no such model, as 400": (fails(400, "model_not_found"), 502, "ai-model-unavailable"),
    "no such model, without a code": (fails(404), 502, "ai-model-unavailable"),
    "context": (fails(400, "context_length_exceeded"), 413, "ai-input-too-large"),
    "a long text": (fails(400, "string_above_max_length"), 413, "ai-input-too-large"),
    "a large body": (fails(413), 413, "ai-input-too-large"),
    "content policy": (fails(400, "content_policy_violation"), 422, "ai-content-rejected"),
    "content policy of a reasoning model": (fails(400, "invalid_prompt"), 422, "ai-content-rejected"),
    "content filter": (fails(400, "content_filter"), 422, "ai-content-rejected"),
    "another 400": (fails(400, "unsupported_parameter"), 502, "ai-provider-rejected-request"),
    "400 of HTML": (Reply(HTML, 400), 502, "ai-provider-rejected-request"),
    "409": (fails(409), 502, "ai-provider-rejected-request"),
    "418": (fails(418), 502, "ai-provider-rejected-request"),
    "422": (fails(422), 502, "ai-provider-rejected-request"),
    "quota by code": (fails(429, "insufficient_quota"), 503, "ai-quota-exhausted"),
    "quota by type": (fails(429, None, "insufficient_quota", Retry_After="1"), 503, "ai-quota-exhausted"),
    "quota of a project": (fails(429, "project_spend_limit_exceeded"), 503, "ai-quota-exhausted"),
    "billing, as 400": (fails(400, "billing_hard_limit_reached"), 503, "ai-quota-exhausted"),
    "billing, as 402": (fails(402), 503, "ai-quota-exhausted"),
    "no answer": (Reply(drops=True), 503, "ai-provider-unavailable"),
    "500": (fails(500, "server_error"), 503, "ai-provider-unavailable"),
    "502 of HTML": (Reply(HTML, 502), 503, "ai-provider-unavailable"),
    "503": (fails(503, "server_is_overloaded"), 503, "ai-provider-unavailable"),
    "an odd header": (Reply(HTML, 500, {"X-Request-ID": "\xff"}), 503, "ai-provider-unavailable"),
    "an odd charset": (Reply(HTML, 500, {"Content-Type": "text/plain; charset=hex"}), 503, "ai-provider-unavailable"),
    "500 cut short": (Reply(HTML, 500, sent_bytes=5), 503, "ai-provider-unavailable"),
    "408": (fails(408), 504, "ai-timeout"),
    "redirect": (Reply(HTML, 302, {"Location": "http://127.0.0.1:1/"}), 502, "ai-invalid-provider-response"),
    "404 of HTML": (Reply(HTML, 404, {"Content-Type": "text/html"}), 502, "ai-invalid-provider-response"),
    "404 of no API": (reply_json({"detail": "Not Found"}, 404), 502, "ai-invalid-provider-response"),
    "HTML": (Reply(HTML, 200, {"Content-Type": "text/html"}), 502, "ai-invalid-provider-response"),
    "HTML that is called JSON": (Reply(HTML), 502, "ai-invalid-provider-response"),
    "an empty body": (Reply(b""), 502, "ai-invalid-provider-response"),
    "204": (Reply(b"", 204), 502, "ai-invalid-provider-response"),
    "half of a document": (Reply(b'{"id": "resp_1",'), 502, "ai-invalid-provider-response"),
    "not UTF-8": (Reply(b"\xff\xfe"), 502, "ai-invalid-provider-response"),
    "too deep": (Reply(b"[" * 100_000), 502, "ai-invalid-provider-response"),
    "a lone surrogate": (Reply(BODY.replace(b"An answer.", rb"\ud800")), 502, "ai-invalid-provider-response"),
    "null": (reply_json(None), 502, "ai-invalid-provider-response"),
    "a list": (reply_json([response()]), 502, "ai-invalid-provider-response"),
    "another API": (reply_json({"object": "chat.completion", "choices": []}), 502, "ai-invalid-provider-response"),
    "output of another shape": (answers(output="An answer."), 502, "ai-invalid-provider-response"),
    "text without text": (answers(output=[message({"type": "output_text"})]), 502, "ai-invalid-provider-response"),
    "not ended": (answers(status="in_progress"), 502, "ai-invalid-provider-response"),
    "status of another shape": (answers(status=["completed"]), 502, "ai-invalid-provider-response"),
    "cut short": (Reply(BODY, sent_bytes=40), 503, "ai-provider-unavailable"),
    "compressed": (
        Reply(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}),
        502,
        "ai-invalid-provider-response",
    ),
    "500, compressed": (Reply(b"x", 500, {"Content-Encoding": "br"}), 503, "ai-provider-unavailable"),
}

# Errors in the body of a 200 with `status: failed`.
ERRORS_IN_200 = {
    "content policy": ({"code": "invalid_prompt", "message": "No."}, 422, "ai-content-rejected"),
    "bio policy": ({"code": "bio_policy", "message": "No."}, 422, "ai-content-rejected"),
    "quota": ({"code": "insufficient_quota"}, 503, "ai-quota-exhausted"),
    "rate": ({"code": "rate_limit_exceeded", "message": "Slow down."}, 429, "ai-rate-limited"),
    "server": ({"code": "server_error", "message": "Oh."}, 503, "ai-provider-unavailable"),
    "no error": (None, 503, "ai-provider-unavailable"),
    "an odd error": ({"code": ["odd"], "type": 5}, 503, "ai-provider-unavailable"),
    "another error": ({"code": "vector_store_timeout"}, 502, "ai-provider-rejected-request"),
}

RETRYABLE = ("ai-rate-limited", "ai-provider-unavailable", "ai-timeout")


@pytest.mark.parametrize(("reply", "status", "code"), ERRORS.values(), ids=ERRORS)
async def test_each_error_has_its_status_and_code(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply, status: int, code: str
) -> None:
    provider.replies(reply)
    assert_problem(await ask(client), status, code, retryable=code in RETRYABLE)
    assert len(provider.requests) == (2 if code in RETRYABLE else 1)


@pytest.mark.parametrize(("error", "status", "code"), ERRORS_IN_200.values(), ids=ERRORS_IN_200)
async def test_an_error_in_a_200_has_its_status_and_code(
    provider: FakeProvider, client: httpx2.AsyncClient, error: object, status: int, code: str
) -> None:
    provider.replies(answers(status="failed", error=error, output=[]))
    assert_problem(await ask(client), status, code, retryable=code in RETRYABLE)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(HTML, 200, {"Content-Type": "text/html"}),
        Reply(b""),
        reply_json({"object": "chat.completion", "choices": [{"message": {"content": "An answer."}}]}),
        Stream([b'data: {"object": "chat.completion.chunk", "choices": []}\n\n', b"data: [DONE]\n\n"]),
        Reply(HTML, 302, {"Location": "http://127.0.0.1:1/"}),
        Reply(HTML, 404),
    ],
    ids=["HTML", "nothing", "chat", "a stream of a chat", "redirect", "404"],
)
async def test_an_answer_of_another_api_names_the_setting_of_the_address(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply | Stream
) -> None:
    provider.replies(reply)
    for answer in (await ask(client), await stream(client)):
        assert_problem(answer, 502, "ai-invalid-provider-response", retryable=False)
        assert "OPENAI_BASE_URL" in answer.json()["detail"]


async def test_a_failed_response_needs_no_other_field(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(reply_json({"status": "failed"}))
    assert_problem(await ask(client), 503, "ai-provider-unavailable", retryable=True)


@pytest.mark.parametrize("status", [400, 404])
async def test_a_named_model_that_the_provider_lacks_gets_422(
    provider: FakeProvider, client: httpx2.AsyncClient, status: int
) -> None:
    provider.replies(fails(status, "model_not_found"))
    assert_problem(await ask(client, model="other-model"), 422, "ai-model-unavailable", retryable=False)


async def test_a_redirect_is_not_followed(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(Reply(status=307, headers={"Location": f"{provider.url}/elsewhere"}), answers())
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)
    assert [request.path for request in provider.requests] == ["/v1/responses"]


async def test_a_refused_connection_gets_503() -> None:
    assert_problem(await ask_with(), 503, "ai-provider-unavailable", retryable=True)


@pytest.mark.parametrize(
    ("status", "code"), [(200, "ai-invalid-provider-response"), (400, "ai-provider-rejected-request")]
)
async def test_a_large_body_is_not_read_to_its_end(
    provider: FakeProvider, client: httpx2.AsyncClient, status: int, code: str
) -> None:
    provider.replies(Reply(BODY + b" " * MAX_PROVIDER_BODY_BYTES, status))
    assert_problem(await ask(client), 502, code, retryable=False)


async def test_a_body_compressed_several_times_is_not_decompressed(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    """The zeros after the innermost document would count towards no limit of its size."""
    body = gzip.compress(BODY) + bytes(64 * MAX_PROVIDER_BODY_BYTES)
    for _ in range(2):
        body = gzip.compress(body, 9)
    provider.replies(Reply(body, headers={"Content-Encoding": "gzip, gzip, gzip"}))
    started = time.process_time()
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)
    assert time.process_time() - started < 0.5


async def test_requests_accept_no_compression(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(Reply(BODY, headers={"Content-Encoding": "identity"}))
    assert (await ask(client)).status_code == 200
    await client.post(f"{RESPONSES}/stream", json={"input": "x"})
    assert {request.headers["accept-encoding"] for request in provider.requests} == {"identity"}


async def test_a_call_after_failed_ones_succeeds(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(fails(500), fails(500), Reply(b"<html></html>"), answers())
    assert [(await ask(client)).status_code for _ in range(3)] == [503, 502, 200]
