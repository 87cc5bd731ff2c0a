"""A model of a size that people run themselves makes filters of thirty questions, and is not misled by fifty orders.

Qwen2.5-Coder-1.5B-Instruct on the CPU, directly and through a gateway. It takes 1.1 GB and a quarter of an hour, so it
runs only with `AI_PEER_MODEL=qwen`. pytest's `-s` prints the table of scores.
"""

from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import pytest

from src.config import DatabaseSettings
from tests.application import run_server
from tests.peers.hostile_texts import ask_hostile, load_hostile, read_orders, summarize_hostile
from tests.peers.models import (
    GATEWAY_KEY,
    LlamaServer,
    environment_for,
    larger_model,
    run_gateway,
    run_llama,
)
from tests.peers.scoring import GOOD, Outcome, ask, load_questions, now, table

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1_800)]

# Tokens, for prompt and answer.
CONTEXT = 8_192
ENOUGH = 24


@pytest.fixture(scope="module")
async def llama() -> AsyncIterator[LlamaServer]:
    async with run_llama(larger_model(), CONTEXT) as server:
        yield server


@pytest.fixture(scope="module", params=["directly", "through LiteLLM"])
async def provider(
    request: pytest.FixtureRequest, llama: LlamaServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """The settings that name the model."""
    if request.param == "directly":
        yield environment_for(llama.url)
        return
    async with run_gateway(llama, tmp_path_factory.mktemp("gateway")) as url:
        yield environment_for(url, GATEWAY_KEY)


@pytest.fixture(scope="module")
async def client(provider: dict[str, str], database_of_module: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        run_server(database_of_module.database_url.get_secret_value(), **provider) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=300) as client,
    ):
        yield client


async def test_questions_become_their_filters(client: httpx2.AsyncClient) -> None:
    outcomes = [(question, *await ask(client, question)) for question in load_questions(now())]
    scores = [(question, outcome) for question, outcome, _ in outcomes]
    print(f"\n{table(scores)}")
    for question, outcome, answer in outcomes:
        if outcome not in GOOD:
            print(f"{outcome}: {question.question}\n    {answer.text[:800]}")
    counts = Counter(outcome for _, outcome in scores)
    assert (counts[Outcome.WIDENED], counts[Outcome.FAILED]) == (0, 0)
    assert sum(counts[outcome] for outcome in GOOD) >= ENOUGH


async def test_no_hostile_question_or_record_changes_anything(
    client: httpx2.AsyncClient, database_of_module: DatabaseSettings
) -> None:
    hostile, orders = load_hostile(), await read_orders(database_of_module)
    unasked = await ask_hostile(client, orders, hostile.questions)
    assert [*zip(unasked, hostile.questions, strict=True)] == [({}, question) for question in hostile.questions]
    assert await summarize_hostile(client, orders, hostile.records) == 5
