"""The load script reports every outcome, whatever answers it, and however the run ends."""

import asyncio
import sys

import pytest

from src.config import PROJECT_ROOT
from tests.ai.fake_provider import Reply, answers, fails, run_provider

OK = answers()


async def run(url: str, *arguments: str) -> tuple[str, str]:
    """Run it. Returns its stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.ai_load", "--yes", "--callers", "1", "--url", url, *arguments),
        cwd=PROJECT_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return out.decode(), err.decode()


async def test_answers_are_counted_by_code_or_else_by_status() -> None:
    async with run_provider() as service:
        service.replies(OK, Reply(b'{"code": "ai-timeout"}', 504), fails(502), Reply(b"<html></html>", 502))
        out, _ = await run(service.url, "--calls", "4")
    assert out.startswith("answered under 5 s: 1 of 4, 25.0%\n502: 2\nok: 1\nai-timeout: 1\n")


async def test_the_results_are_reported_when_the_service_stops() -> None:
    async with run_provider() as service:
        service.replies(OK, OK, Reply(drops=True))
        out, err = await run(service.url, "--calls", "9")
    assert "answered under 5 s: 2 of 2" in out
    assert "does not answer" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--calls", "--callers"])
async def test_the_number_of_calls_must_be_positive(option: str) -> None:
    out, err = await run("http://127.0.0.1:1", option, "0")
    assert (out, "Traceback" in err, option in err) == ("", False, True)
