"""Logs never hold the prompt, the answer, the key or the provider's error messages; answers never hold the last two."""

import json
import logging
import logging.config
from hashlib import sha256
from logging import LogRecord
from typing import Any

import httpx2
import pytest

from src.config import AppSettings
from src.log import logging_config
from tests.ai.application import KEY, STATUS, ask, run_ai
from tests.ai.fake_provider import FakeProvider, Reply, answers, fails, message, reply_json, response, text

PROMPT, INSTRUCTIONS, ANSWER, SAID = "prompt-4711", "instructions-4712", "answer-4713", "said-4714"
ASKED = {"input": PROMPT, "instructions": INSTRUCTIONS}
ECHO = f"{SAID}: Incorrect API key provided: {KEY}; you sent {PROMPT} and {INSTRUCTIONS}"
SECRETS = (PROMPT, INSTRUCTIONS, ANSWER, SAID, KEY)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def written(log: pytest.LogCaptureFixture) -> str:
    """Return all that any formatter could print of the log records."""
    return log.text + repr([vars(record) for record in log.records])


def calls(log: pytest.LogCaptureFixture) -> list[LogRecord]:
    return [record for record in log.records if record.name == "src.ai.telemetry"]


@pytest.mark.parametrize(
    "reply",
    [
        *(fails(status, said=ECHO) for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503)),
        *(fails(400, code, said=ECHO) for code in ("invalid_prompt", "context_length_exceeded", "insufficient_quota")),
        Reply(ECHO.encode(), 500),
        Reply(ECHO.encode()),
        Reply(ECHO.encode(), sent_bytes=80),
        Reply(status=302, headers={"Location": f"http://127.0.0.1:1/{ECHO.replace(' ', '')}"}),
        reply_json({"odd": ECHO}),
        reply_json([ECHO]),
        reply_json(response(), 400, X_Request_ID=ECHO),
        answers(status="failed", error={"code": "server_error", "message": ECHO}),
        answers(status="failed", error={"code": ECHO, "message": ECHO}),
        answers(status=ECHO),
        answers(output=[{"type": "message", "content": [{"type": ECHO}]}]),
    ],
    ids=lambda reply: str(reply.status),
)
async def test_error_messages_of_the_provider_are_neither_answered_nor_logged(
    provider: FakeProvider, client: httpx2.AsyncClient, log: pytest.LogCaptureFixture, reply: Reply
) -> None:
    provider.replies(reply)
    answer = await ask(client, **ASKED)
    assert answer.status_code >= 400
    for secret in SECRETS:
        assert secret not in answer.text
        assert secret not in written(log)


async def test_the_log_line_of_a_call_holds_no_text_of_prompt_or_answer(
    provider: FakeProvider, client: httpx2.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    provider.replies(fails(500, said=ECHO), answers(output=[message(text(ANSWER))]))
    answer = await ask(client, **ASKED)
    assert answer.json()["output"]["text"] == ANSWER
    for secret in SECRETS:
        assert secret not in written(log)
    (call,) = calls(log)
    assert call.levelno == logging.INFO
    expected: dict[str, Any] = {
        "model": "gpt-5.4-mini",
        "prompt_version": "responses-1",
        "prompt_characters": len(PROMPT) + len(INSTRUCTIONS),
        "prompt_sha256": sha256(f"{INSTRUCTIONS}\0{PROMPT}".encode()).hexdigest(),
        "status": "completed",
        "code": None,
        "attempts": 2,
        "latency_ms": answer.json()["meta"]["latency_ms"],
        "input_tokens": 30,
        "output_tokens": 20,
        "provider_request_id": "req_1",
    }
    assert expected.items() <= vars(call).items()


async def test_a_refusal_is_logged_as_refused(
    provider: FakeProvider, client: httpx2.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    provider.replies(answers(output=[message({"type": "refusal", "refusal": ANSWER})]))
    await ask(client)
    (call,) = calls(log)
    assert vars(call)["status"] == "refused"


async def test_a_failed_call_is_logged_in_one_line_with_its_code(
    provider: FakeProvider, client: httpx2.AsyncClient, log: pytest.LogCaptureFixture
) -> None:
    provider.replies(fails(401, X_Request_ID="req_9"))
    await ask(client)
    (call,) = calls(log)
    assert (
        vars(call).items()
        >= {
            "status": "failed",
            "code": "ai-provider-authentication-failed",
            "attempts": 1,
            "provider_request_id": "req_9",
        }.items()
    )


@pytest.mark.parametrize("key", ["sk-4711\n", "sk-4711-é"])
async def test_a_malformed_key_is_neither_answered_nor_logged(key: str, log: pytest.LogCaptureFixture) -> None:
    async with run_ai(openai_api_key=key) as client:
        answers = [await ask(client, **ASKED), await client.get(STATUS), await client.get("/health")]
    assert "sk-4711" not in "".join(answer.text for answer in answers) + written(log)


async def test_the_configured_log_holds_no_secret_at_level_debug(
    provider: FakeProvider, client: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str], restore_logging: None
) -> None:
    logging.config.dictConfig(logging_config(AppSettings(log_level="DEBUG").log_level))
    provider.replies(fails(400, said=ECHO), answers(output=[message(text(ANSWER))]))
    for _ in range(2):
        await ask(client, **ASKED)
    printed = capsys.readouterr().out
    assert "ai call" in [json.loads(line)["message"] for line in printed.splitlines()]
    for secret in (*SECRETS, provider.url):
        assert secret not in printed
