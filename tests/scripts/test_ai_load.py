"""The load script reports every outcome, whatever answers it, and however the run ends."""

import pytest

from tests import programs
from tests.ai.fake_provider import Reply, answers, fails, run_provider

OK = answers()
COMMAND = ("scripts.ai_load", "--yes", "--callers", "1", "--url")


async def test_answers_are_counted_by_code_or_else_by_status() -> None:
    async with run_provider() as service:
        service.replies(OK, Reply(b'{"code": "ai-timeout"}', 504), fails(502), Reply(b"<html></html>", 502))
        done = await programs.finish(await programs.start_in_full(*COMMAND, service.url, "--calls", "4"))
    assert done.stdout.startswith("answered under 5 s: 1 of 4, 25.0%\n502: 2\nok: 1\nai-timeout: 1\n")


async def test_the_results_are_reported_when_the_service_stops() -> None:
    async with run_provider() as service:
        service.replies(OK, OK, Reply(drops=True))
        done = await programs.run(*COMMAND, service.url, "--calls", "9")
    assert "answered under 5 s: 2 of 2" in done.stdout
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--calls", "--callers"])
async def test_the_number_of_calls_must_be_positive(option: str) -> None:
    done = await programs.run(*COMMAND, "http://127.0.0.1:1", option, "0")
    assert (done.stdout, "Traceback" in done.stderr, option in done.stderr) == ("", False, True)
