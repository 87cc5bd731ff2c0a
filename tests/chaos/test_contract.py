"""The service does what its OpenAPI document says: Schemathesis sends thousands of requests to check it.

https://schemathesis.readthedocs.io
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from src.config import PROJECT_ROOT, DatabaseSettings
from tests.ai.fake_provider import ANSWER, Received, Reply, Stream, answers, message, run_provider, text
from tests.application import run_server

# `make chaos` installs it: its fifty packages are not part of the common environment.
SCHEMATHESIS = PROJECT_ROOT / ".tools" / "chaos" / "bin" / "schemathesis"
CASES = 1_000

# All checks but one. They are listed here because operations cannot exclude a check of the option --checks. The history
# of a removed record can still be read. As OpenAPI 3.1 has it, the schema of a stream of events describes its whole
# text, but Schemathesis applies it to each event. It would wait for the end of the feed's stream, which has none, and
# for pages that are waited for.
CONFIGURATION = """
hooks = "{hooks}"

[checks]
enabled = true
positive_data_acceptance.enabled = false
# The usual ones, and 414: parameters that are repeated can be many.
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "406", "409", "414", "415", "422", "428", "429", "5xx"
]

[[operations]]
include-path = "/api/v1/audits/{audit_id}/history"
checks.use_after_free.enabled = false

[[operations]]
include-path = "/api/v1/ledger/changes/stream"
enabled = false

[[operations]]
include-path = "/api/v1/ledger/changes"
parameters = { "query.wait" = 0 }

[[operations]]
include-path = "/api/v1/ai/responses/stream"
checks.response_schema_conformance.enabled = false
"""

# It generates a text for a body of NDJSON, and has to be told how to send it.
HOOKS = """
import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
"""


def reply(request: Received) -> Reply | Stream:
    """Return a well-formed answer to any request to the provider."""
    form = request.body.get("text", {}).get("format", {}).get("schema")
    if form is None:
        return ANSWER
    value: dict[str, Any] = {
        name: [] if name in ("findings", "unsupported") else "a" if name == "summary" else None
        for name in form.get("properties", ())
    }
    return answers(output=[message(text(json.dumps(value)))])


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "schemathesis.toml"
    hooks = tmp_path / "hooks.py"
    hooks.write_text(HOOKS)
    path.write_text(CONFIGURATION.replace("{hooks}", str(hooks)))
    return path


@pytest.mark.parametrize("seed", [1, 20_261_122, 987_654_321])
async def test_the_contract_holds_for_thousands_of_cases(
    seed: int, database_settings: DatabaseSettings, configuration: Path
) -> None:
    options = ["--mode=all", "--phases=examples,coverage,fuzzing,stateful", "--generation-database=none", "--workers=1"]
    options += [f"--seed={seed}", "--continue-on-failure", "--no-color", "--max-examples=60"]
    environment = {"OPENAI_API_KEY": "sk-test"}
    async with run_provider() as provider:
        provider.replies_by(reply)
        environment["OPENAI_BASE_URL"] = provider.url
        async with run_server(database_settings.database_url.get_secret_value(), **environment) as server:
            process = await asyncio.create_subprocess_exec(
                SCHEMATHESIS,
                f"--config-file={configuration}",
                "run",
                f"{server.url}/openapi.json",
                *options,
                cwd=configuration.parent,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(600):
                output = (await process.communicate())[0].decode()
    cases = re.search(r"(\d[\d,]*) generated", output)
    print(f"\nseed {seed}: {output[output.rfind('SUMMARY') :]}")
    assert process.returncode == 0, output
    assert cases
    assert int(cases[1].replace(",", "")) >= CASES
