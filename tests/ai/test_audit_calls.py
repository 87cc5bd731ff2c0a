"""Questions and summaries hold no connection while the provider works, and log no text of prompt or answer."""

import asyncio
import json
import logging
from typing import Any

import pytest

from src.config import DatabaseSettings
from tests.ai.application import KEY, ai_settings
from tests.ai.fake_provider import FakeProvider, Reply, answers, fails, message, text
from tests.application import run_application
from tests.audits.factories import AUDITS, create_audit

QUERY, SUMMARY = "/api/v1/ai/audits/query", "/api/v1/ai/audits/summary"
CALLS = [(QUERY, {"question": "asked-4711"}), (SUMMARY, {"focus": "asked-4711"})]


def says(value: Any) -> Reply:
    return answers(output=[message(text(json.dumps(value)))])


@pytest.mark.parametrize(("path", "body"), CALLS, ids=["query", "summary"])
async def test_no_connection_is_held_while_the_provider_works(
    provider: FakeProvider, database: DatabaseSettings, path: str, body: dict[str, Any]
) -> None:
    provider.replies(Reply(hangs=True))
    only_one = database.model_copy(
        update={"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 0.1}
    )
    async with run_application(only_one, ai_settings(provider)) as client:
        waiting = asyncio.create_task(client.post(path, json=body))
        await provider.wait_for_requests()
        assert (await client.get(AUDITS)).status_code == 200
        waiting.cancel()
        await asyncio.wait((waiting,))


SAID = [
    says({"unsupported": ["answer-4713"]}),
    says({"summary": "answer-4713", "findings": []}),
    says([{"action": ["answer-4713 *"], "findings": "answer-4713"}]),
    says("answer-4713"),
    answers(output=[message({"type": "refusal", "refusal": "answer-4713"})]),
    fails(400, said=f"asked-4711 details-4712 answer-4713 {KEY}"),
]


@pytest.mark.parametrize(("path", "body"), CALLS, ids=["query", "summary"])
async def test_questions_records_and_answers_are_not_logged(
    provider: FakeProvider,
    database: DatabaseSettings,
    caplog: pytest.LogCaptureFixture,
    path: str,
    body: dict[str, Any],
) -> None:
    async with run_application(database, ai_settings(provider)) as client:
        await create_audit(client, details={"note": "details-4712"})
        caplog.set_level(logging.DEBUG)
        statuses = []
        for said in SAID:
            provider.replies(said)
            statuses.append((await client.post(path, json=body)).status_code)
    assert sorted(statuses) == [200, 422, 502, 502, 502, 502]
    logged = caplog.text + repr([vars(record) for record in caplog.records])
    for secret in ("asked-4711", "details-4712", "answer-4713", KEY):
        assert secret not in logged
    assert logged.count("ai call") >= len(SAID)
