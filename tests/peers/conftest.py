"""Where the peers are installed, what they need, and how to run one in its own process."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from src.config import DatabaseSettings
from tests.ai.application import KEY
from tests.application import run_server

FOLDER = Path(__file__).resolve().parent
_OLDEST_NODE = (20, 19)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder in which `npm ci` installed the packages of `package-lock.json`."""
    if not shutil.which("npm"):
        pytest.skip("Node 20.19 or newer is not there")
    version = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST_NODE:
        pytest.skip(f"Node 20.19 or newer is not there, but {version.strip()}")
    return installed("node_modules")


@pytest.fixture(scope="session")
def python_programs() -> Path:
    """The folder of the programs that uv installed from `requirements/peers.txt`."""
    return installed(".venv") / "bin"


def installed(name: str) -> Path:
    folder = FOLDER / name
    assert folder.is_dir(), "run `make test-peers`, which installs it"
    return folder


@pytest.fixture(scope="session")
async def provider_url(node_modules: Path) -> AsyncIterator[str]:
    """The URL of aimock, a provider of AI."""
    command = (node_modules / ".bin/llmock", "--port", "0", "--fixtures", FOLDER / "aimock.json")
    process = await asyncio.create_subprocess_exec(
        *command, env={"PATH": "/usr/local/bin:/usr/bin:/bin", "AIMOCK_API_KEYS": KEY}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(20):
        while not (match := re.search(rb"listening on (http://\S+)", await process.stdout.readline())):
            pass
    yield f"{match[1].decode()}/v1"
    process.terminate()
    await process.wait()


@pytest.fixture(scope="module")
async def service(database_of_module: DatabaseSettings) -> AsyncIterator[str]:
    """The URL of the running service."""
    async with run_server(database_of_module.database_url.get_secret_value()) as server:
        yield server.url


async def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command, which must succeed, and return its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, f"{command[0]} failed:\n{output.decode()}"
    return output.decode()
