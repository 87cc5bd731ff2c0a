"""A real model answers: SmolLM2-135M-Instruct in llama.cpp's server, on the CPU.

So small a model understands little. What it says is not judged here; `test_questions.py` does that with a larger one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from src.config import DatabaseSettings
from tests.ai.application import RESPONSES, assert_problem
from tests.ai.streams import assert_error, names, read
from tests.application import NO_DATABASE, Server, run_application, run_server
from tests.audits.factories import create_audit
from tests.peers.hostile_texts import (
    SUMMARY,
    Orders,
    ask_hostile,
    bounded,
    load_hostile,
    read_orders,
    summarize_hostile,
)
from tests.peers.models import (
    GATEWAY_KEY,
    KEY,
    LlamaServer,
    environment_for,
    run_gateway,
    run_llama,
    settings_for,
    small_model,
)
from tests.peers.scoring import QUERY

pytestmark = pytest.mark.peers

# Tokens, for prompt and answer.
CONTEXT = 4_096
# More tokens than that, in as many characters as a caller may send.
TOO_LONG = "17 " * 5_000
ENDLESS = {"input": "Write a long story about a lighthouse.", "max_output_tokens": 2_048}
BOTH = pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/stream"])
# What a question or a summary gets from a model that does not answer in the form that it was asked for.
WRONG_FORM = {"ai-invalid-provider-response", "ai-structured-output-unsupported"}


@pytest.fixture(scope="module")
async def llama() -> AsyncIterator[LlamaServer]:
    async with run_llama(small_model(), CONTEXT) as server:
        yield server


@pytest.fixture(scope="module")
async def service_with_model(llama: LlamaServer, database_of_module: DatabaseSettings) -> AsyncIterator[Server]:
    url = database_of_module.database_url.get_secret_value()
    async with run_server(url, **environment_for(llama.url)) as server:
        yield server


@pytest.fixture(scope="module")
async def client(service_with_model: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=service_with_model.url, timeout=120) as client:
        yield client


async def test_a_plain_answer_and_a_stream_say_the_same(client: httpx2.AsyncClient) -> None:
    body = {"input": "What is 2+2?", "max_output_tokens": 64}
    answer = await client.post(RESPONSES, json=body)
    assert answer.status_code == 200, answer.text
    whole = answer.json()
    assert (whole["status"], whole["finish_reason"]) == ("completed", "stop")
    assert "4" in whole["output"]["text"]
    assert 0 < whole["usage"]["output_tokens"] < 64
    events = read(await client.post(f"{RESPONSES}/stream", json=body))
    assert (names(events)[0], {*names(events)[1:-1]}, names(events)[-1]) == ("start", {"delta"}, "done")
    written = "".join(data["text"] for _, data in events[1:-1])
    assert written == events[-1][1]["output"]["text"] == whole["output"]["text"]
    assert events[-1][1]["usage"] | {"cached_input_tokens": 0} == whole["usage"] | {"cached_input_tokens": 0}


@BOTH
async def test_an_answer_that_is_cut_says_so(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.post(path, json=ENDLESS | {"max_output_tokens": 16})
    body = answer.json() if path == RESPONSES else read(answer)[-1][1]
    assert (body["status"], body["finish_reason"]) == ("incomplete", "max_output_tokens")
    assert body["usage"]["output_tokens"] == 16


@BOTH
async def test_more_than_the_context_holds_is_413(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={"input": TOO_LONG})
    assert_problem(answer, 413, "ai-input-too-large", retryable=False)


@BOTH
async def test_a_wrong_key_is_502(llama: LlamaServer, path: str) -> None:
    async with run_application(NO_DATABASE, settings_for(llama.url, openai_api_key=f"{KEY}0")) as client:
        answer = await client.post(path, json={"input": "Hello."})
    assert_problem(answer, 502, "ai-provider-authentication-failed", retryable=False)


@BOTH
async def test_generation_stops_when_the_caller_leaves(
    client: httpx2.AsyncClient, llama: LlamaServer, path: str
) -> None:
    call = asyncio.create_task(client.post(path, json=ENDLESS))
    await llama.generates(tokens=10)
    call.cancel()
    await llama.stops(seconds=2)
    with pytest.raises(asyncio.CancelledError):
        await call


@BOTH
@pytest.mark.parametrize("bridges", [True, False], ids=["bridging", "passing through"])
async def test_generation_behind_a_gateway_stops_when_the_caller_leaves(
    llama: LlamaServer, tmp_path: Path, path: str, bridges: bool
) -> None:
    async with (
        run_gateway(llama, tmp_path, bridges=bridges) as url,
        run_application(NO_DATABASE, settings_for(url, openai_api_key=GATEWAY_KEY)) as client,
    ):
        call = asyncio.create_task(client.post(path, json=ENDLESS))
        await llama.generates(tokens=10)
        call.cancel()
        await llama.stops(seconds=5)
        with pytest.raises(asyncio.CancelledError):
            await call


@BOTH
async def test_a_server_that_dies_while_it_answers_is_unavailable(path: str) -> None:
    async with (
        run_llama(small_model(), CONTEXT) as llama,
        run_application(NO_DATABASE, settings_for(llama.url, ai_max_attempts=1)) as client,
    ):
        call = asyncio.create_task(client.post(path, json=ENDLESS))
        await llama.generates(tokens=10)
        await llama.stop()
        answer = await call
    if path == RESPONSES:
        assert_problem(answer, 503, "ai-provider-unavailable", retryable=True)
    else:
        events = read(answer)
        assert_error(events, 503, "ai-provider-unavailable")
        assert (names(events)[1], events[-1][1]["retryable"]) == ("delta", True)


@pytest.fixture(scope="module")
async def orders(database_of_module: DatabaseSettings) -> Orders:
    return await read_orders(database_of_module)


@asynccontextmanager
async def run_with_form(
    database: DatabaseSettings, schema: Any, characters: int = 20
) -> AsyncIterator[httpx2.AsyncClient]:
    """The service with a model that has to answer in this form."""
    async with (
        run_llama(small_model(), CONTEXT, bounded(schema, characters)) as llama,
        run_application(database, settings_for(llama.url)) as client,
    ):
        yield client


async def test_questions_are_answered_and_hostile_ones_change_nothing(
    database_of_module: DatabaseSettings, orders: Orders
) -> None:
    """Five hostile ones; `test_questions.py` asks all."""
    async with run_with_form(database_of_module, orders.query_schema) as client:
        await create_audit(client, status="failure")
        found = await client.post(QUERY, json={"question": "Which invoices failed?"})
        assert found.status_code == 200, found.text
        listed = (await client.get(found.json()["url"])).json()
        assert (found.json()["items"], found.json()["total"]) in ((listed["items"], listed["total"]), (None, None))
        assert len(await ask_hostile(client, orders, load_hostile().questions[::5])) == 5


async def test_hostile_records_are_summarised_and_change_nothing(
    database_of_module: DatabaseSettings, orders: Orders
) -> None:
    """Five of them; `test_questions.py` records all."""
    async with run_with_form(database_of_module, orders.summary_schema, characters=40) as client:
        assert await summarize_hostile(client, orders, load_hostile().records[::5]) == 1


async def test_a_question_and_a_summary_of_a_model_that_answers_in_another_form_are_502(
    database_of_module: DatabaseSettings,
) -> None:
    async with run_with_form(database_of_module, {"type": "string"}) as client:
        await create_audit(client)
        for answer in (
            await client.post(QUERY, json={"question": "Which invoices failed?"}),
            await client.post(SUMMARY, json={"max_records": 1}),
        ):
            assert (answer.status_code, answer.json()["code"] in WRONG_FORM) == (502, True), answer.text
