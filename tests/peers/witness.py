"""Runs the witness of aics-witness (https://c2sp.org/tlog-witness)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from src.ledger.notes import VerifierKey
from tests.peers.conftest import run

NAME = "witness.example.org/w1"


class Witness(NamedTuple):
    """Where it takes checkpoints (before `/add-checkpoint`), and its verifier key, with which it cosigns."""

    url: str
    key: str


def need_new_python(programs: Path) -> None:
    """Skip the test where the peers run on a Python that is too old for the packages of aics."""
    if not (programs / "aics-witness").exists():
        pytest.skip("Python 3.12 or newer is not there for the peers: name one with PEERS_PYTHON=...")


@asynccontextmanager
async def run_witness(programs: Path, folder: Path, log: VerifierKey) -> AsyncIterator[Witness]:
    """A witness on a free port that trusts the log of this key, with its files in `folder`."""
    program, config = programs / "aics-witness", ("--config", folder / "witness.json")
    output = await run(program, "init", *config, "--name", NAME, "--listen", "127.0.0.1:0", cwd=folder)
    await run(program, "add-log", *config, "--origin", log.name, "--vkey", str(log), cwd=folder)
    process = await asyncio.create_subprocess_exec(program, "serve", *config, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    try:
        async with asyncio.timeout(60):
            url = None
            while not url:
                line = (await process.stderr.readline()).decode()
                assert line, "the witness has ended"
                url = re.search(r"listening on (\S+)", line)
        yield Witness(url[1], output.split()[-1])
    finally:
        process.terminate()
        await process.communicate()
