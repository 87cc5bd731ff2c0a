"""A forked program finds what one finds that was started in full."""

import json
import signal

import pytest

from tests import programs

pytestmark = pytest.mark.skipif(not programs.CAN_FORK, reason="needs Linux's pidfd_open")


async def test_a_forked_program_finds_and_ends_as_one_that_was_started_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_BY_A_TEST", "ä")
    command = ("tests.seen", "one", "two words")
    forked = await programs.run(*command, PORT="0")
    full = await programs.finish(await programs.start_in_full(*command, PORT="0"))
    assert json.loads(forked.stdout) == json.loads(full.stdout)
    assert (forked.returncode, forked.stderr) == (full.returncode, full.stderr) == (7, "and this line\n")


async def test_a_program_that_a_signal_has_killed_says_so() -> None:
    program = await programs.start("src", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", PORT="0")
    program.kill()
    assert await program.wait() == -signal.SIGKILL
