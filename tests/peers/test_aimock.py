"""The provider https://aimock.copilotkit.dev, written by others, answers and fails as `aimock.json` says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import HttpUrl

from src.config import DatabaseSettings
from tests.ai.application import KEY, RESPONSES, ai_settings, run_ai
from tests.application import run_application
from tests.audits.factories import create_audit

pytestmark = pytest.mark.peers

GREETING = "Hello from a server that nobody here wrote."
BOTH = pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/stream"])


@pytest.fixture
async def client(provider_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_ai(openai_base_url=HttpUrl(provider_url)) as client:
        yield client


async def test_aimock_answers(client: httpx2.AsyncClient) -> None:
    answer = await client.post(RESPONSES, json={"input": "greet", "instructions": "Be brief.", "temperature": 0})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["status"], body["finish_reason"], body["output"]["text"]) == ("completed", "stop", GREETING)
    assert body["meta"]["provider_request_id"]


async def test_aimock_streams(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"{RESPONSES}/stream", json={"input": "greet"})
    assert answer.status_code == 200, answer.text
    names = re.findall(r"^event: (.*)$", answer.text, re.MULTILINE)
    data = [json.loads(line) for line in re.findall(r"^data: (.*)$", answer.text, re.MULTILINE)]
    assert (names[0], {*names[1:-1]}, names[-1]) == ("start", {"delta"}, "done")
    assert "".join(piece["text"] for piece in data[1:-1]) == data[-1]["output"]["text"] == GREETING


@BOTH
@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("rate", 429, "ai-rate-limited"),
        ("quota", 503, "ai-quota-exhausted"),
        ("context", 413, "ai-input-too-large"),
        ("policy", 422, "ai-content-rejected"),
        ("broken", 503, "ai-provider-unavailable"),
        ("malformed", 502, "ai-invalid-provider-response"),
        ("gone", 503, "ai-provider-unavailable"),
    ],
)
async def test_each_failure_of_aimock_has_its_own_code(
    client: httpx2.AsyncClient, path: str, asked: str, status: int, code: str
) -> None:
    answer = await client.post(path, json={"input": asked})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert KEY not in answer.text
    if asked == "rate":
        assert answer.headers["Retry-After"] == "30"


@BOTH
async def test_a_wrong_key_is_502(provider_url: str, path: str) -> None:
    async with run_ai(openai_base_url=HttpUrl(provider_url), openai_api_key="sk-another") as client:
        answer = await client.post(path, json={"input": "greet"})
    assert (answer.status_code, answer.json()["code"]) == (502, "ai-provider-authentication-failed")


async def test_a_stream_that_stalls_is_ended(provider_url: str) -> None:
    short = {"ai_deadline": 0.7, "ai_connect_timeout": 0.2, "ai_read_timeout": 0.3}
    async with run_ai(None, openai_base_url=HttpUrl(provider_url), **short) as client, asyncio.timeout(5):
        answer = await client.post(f"{RESPONSES}/stream", json={"input": "stalls"})
    assert "ai-timeout" in answer.text


async def test_a_question_and_a_summary_are_answered(provider_url: str, database_settings: DatabaseSettings) -> None:
    settings = ai_settings(openai_base_url=HttpUrl(provider_url))
    async with run_application(database_settings, settings) as client:
        wanted = await create_audit(client, action="invoice.update", status="failure")
        await create_audit(client)
        found = (
            await client.post("/api/v1/ai/audits/query", json={"question": "Which invoices failed, with sorting?"})
        ).json()
        summary = (await client.post("/api/v1/ai/audits/summary", json={})).json()
    assert (found["items"], found["unsupported"]) == ([wanted], ["sorting"])
    assert (summary["findings"], summary["dropped_findings"], summary["total"]) == ([], 1, 2)
