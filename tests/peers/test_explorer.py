"""The explorer in a real browser, against what it promises: Debian's Chromium, driven by Playwright.

`browser/` has the scenarios, which run in the environment of the peers; a process carries them out one after the other.
"""

import ast
import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.postgres import Cluster
from scripts.seed import seed
from src.config import DatabaseSettings
from tests.ai.application import KEY as AI_KEY
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body
from tests.conftest import settings_for
from tests.ledger.conftest import KEY, ORIGIN
from tests.peers.conftest import FOLDER, installed, run
from tests.peers.hostile import HOSTILE

pytestmark = pytest.mark.peers

BROWSER = FOLDER / "browser"
SIGNING = {"LEDGER_ORIGIN": ORIGIN, "LEDGER_KEY": KEY.secret}
ROWS = 3_000
LONGEST_LINE = 1024 * 1024
_NEED_AXE = "axe_"
Do = Mapping[str, Callable[[], Awaitable[Any]]]


def scenarios(module: str) -> list[str]:
    tree = ast.parse((BROWSER / f"{module}.py").read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f"{module}.{name}" for name in names if not name.startswith("_")]


class Browser:
    """The process that carries out scenarios."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._to, self._from = process, process.stdin, process.stdout

    async def carry_out(self, scenario: str, url: str, do: Do | None = None) -> None:
        self._say({"scenario": scenario, "url": url})
        while "ask" in (message := await self.hear()):
            await (do or {})[message["ask"]]()
            self._say({})
        assert message["failure"] is None, message["failure"]

    def _say(self, message: dict[str, Any]) -> None:
        self._to.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(120):
            line = await self._from.readline()
        assert line, "the browser's process has ended"
        message: dict[str, Any] = json.loads(line)
        return message

    async def close(self) -> None:
        self._to.close()
        await self._process.wait()


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is there (Debian has it in the package chromium)")
    return found


@pytest.fixture(scope="module")
async def browser(
    chromium: str, python_programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    axe, shots = FOLDER / "node_modules" / "axe-core" / "axe.min.js", tmp_path_factory.mktemp("shots")
    command = (python_programs / "python", BROWSER / "driver.py", chromium, axe, shots)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE)
    browser = Browser(process)
    assert (await browser.hear())["version"]
    yield browser
    await browser.close()


@pytest.fixture(scope="module")
async def trail(database_of_module: DatabaseSettings) -> AsyncIterator[str]:
    """The URL of a service with the story of `make seed`, and one record with large details."""
    await seed(database_of_module, ROWS)
    url = database_of_module.database_url.get_secret_value()
    async with run_server(url, **SIGNING, LEDGER_INTERVAL="1") as server:
        large = {f"name {n}": {"text": "x" * 150, "n": n} for n in range(300)}
        old = {"action": "large.record", "occurred_at": "2026-01-01T00:00:00Z"}
        await record(server.url, [audit_body(**old, details=large)])
        yield server.url


async def record(url: str, bodies: list[dict[str, Any]]) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        created = await client.post(f"{AUDITS}/batch", json={"items": bodies})
        assert created.status_code == 201, created.text


@pytest.mark.parametrize("scenario", [*scenarios("searching"), *scenarios("listing"), *scenarios("reading")])
async def test_a_reader_finds_and_reads_records(browser: Browser, trail: str, scenario: str) -> None:
    await browser.carry_out(scenario, trail)


@pytest.mark.parametrize("scenario", scenarios("seeing"))
async def test_everyone_can_read_it(browser: Browser, trail: str, scenario: str) -> None:
    if _NEED_AXE in scenario and not shutil.which("npm"):
        pytest.skip("Node 20.19 or newer is not there")
    if _NEED_AXE in scenario:
        installed("node_modules")
    await browser.carry_out(scenario, trail)


@pytest.fixture(scope="module")
async def hostile_trail(cluster: Cluster, administrator: Any) -> AsyncIterator[str]:
    name = "hostile"
    await administrator.execute(f"CREATE DATABASE {name} TEMPLATE app STRATEGY file_copy")
    url = settings_for(cluster, name).database_url.get_secret_value()
    async with run_server(url, **SIGNING, LEDGER_INTERVAL="1") as server:
        await record(server.url, HOSTILE)
        yield server.url
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("scenario", scenarios("resisting"))
async def test_what_attackers_record_is_only_text(browser: Browser, hostile_trail: str, scenario: str) -> None:
    await browser.carry_out(scenario, hostile_trail)


@pytest.fixture(scope="module")
async def stoppable_trail(own_cluster: Cluster) -> AsyncIterator[str]:
    await seed(settings_for(own_cluster), 100)
    async with run_server(settings_for(own_cluster).database_url.get_secret_value()) as server:
        yield server.url


@pytest.mark.parametrize("scenario", scenarios("surviving"))
async def test_failures_are_shown_and_survived(
    browser: Browser, stoppable_trail: str, own_cluster: Cluster, scenario: str
) -> None:
    do = {
        "stop the database": partial(asyncio.to_thread, own_cluster.stop, "immediate"),
        "start the database": partial(asyncio.to_thread, own_cluster.start),
    }
    await browser.carry_out(scenario, stoppable_trail, do)


@pytest.mark.parametrize("scenario", scenarios("asking"))
async def test_a_model_is_asked_where_there_is_one(
    browser: Browser, database_settings: DatabaseSettings, provider_url: str, scenario: str
) -> None:
    await seed(database_settings, 100)
    asked = {"OPENAI_API_KEY": AI_KEY, "OPENAI_BASE_URL": provider_url}
    async with run_server(database_settings.database_url.get_secret_value(), **asked) as server:
        await browser.carry_out(scenario, server.url)


async def test_all_of_it_works_below_the_path_of_a_proxy(browser: Browser, database_settings: DatabaseSettings) -> None:
    await seed(database_settings, 1_000)
    scenario = "searching.a_search_is_in_the_url_and_back_and_reload_show_it_again"
    async with run_server(database_settings.database_url.get_secret_value(), ROOT_PATH="/audit") as server:
        await browser.carry_out(scenario, f"{server.url}/audit")


async def test_the_scenarios_have_the_types_that_they_say(python_programs: Path) -> None:
    check = (sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "--config-file=")
    sources = sorted(path.name for path in BROWSER.glob("*.py"))
    await run(*check, "--python-executable", python_programs / "python", *sources, cwd=BROWSER, MYPYPATH=".")
