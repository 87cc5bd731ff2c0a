"""Clients generated from the OpenAPI document: they compile strictly and work with the service.

`tours/` has one program for each, which takes the steps of `tour.ts` or `tour.py`.
"""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import httpx2
import pytest

from tests.peers.conftest import FOLDER, run

pytestmark = pytest.mark.peers

TOURS = FOLDER / "tours"
DOCUMENT = "openapi.json"

PROGRAMS_IN_TYPESCRIPT = sorted(path.stem for path in TOURS.glob("with_*.ts"))
PROGRAMS_IN_PYTHON = sorted(path.stem for path in TOURS.glob("with_*.py"))

# docs/clients.md says why each needs its options.
IN_TYPESCRIPT = """\
openapi-typescript openapi.json --default-non-nullable false --output openapi_typescript.d.ts
openapi-ts --input openapi.json --output openapi_ts
orval --config orval.config.mjs
oazapfts openapi.json oazapfts.ts
swagger-typescript-api generate --path openapi.json --output . --name swagger_typescript_api.ts \
--enum-style union --disable-throw-on-error
"""
IN_PYTHON = """\
openapi-python-client generate --path openapi.json --meta none --output-path audit_trail_client
datamodel-codegen --input openapi.json --input-file-type openapi --output audit_trail_models.py \
--output-model-type pydantic_v2.BaseModel --target-python-version 3.11 --formatters builtin \
--use-annotated --set-default-enum-member
"""

# openapi-python-client sends a batch as JSON only, and has no type for the export of changes.
NO_LINES = re.compile("Unsupported content.type application/x-ndjson")

WENT_AROUND = {
    "created": [["INV-1", "success", 1], *([f"INV-{n}", "failure", 1] for n in (2, 3)),
                *([f"INV-{n}", "pending", 1] for n in (4, 5))],
    "found": ["INV-5", "INV-3"],
    "pages": [["INV-5", "INV-4"], ["INV-3", "INV-2"], ["INV-1"]],
    "patched": ["failure", 2],
    "stale": [412, "version-mismatch", None],
    "unchanged": 304,
    "missing": [404, "audit-not-found", None],
    "wrong": [422, "validation-error", ["query", "limit"]],
    "batch": ["INV-1", "INV-2"],
    "replayed": True,
    "partial": [[201, "INV-3"], [422, "validation-error"]],
    "exported": ["failure", "failure", "success", "pending", "pending", "failure", "failure", "failure"],
}  # fmt: skip


@pytest.fixture(scope="module")
async def tours(service: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `tours/` with the document that the service serves."""
    folder = tmp_path_factory.mktemp("peers") / "tours"
    shutil.copytree(TOURS, folder)
    async with httpx2.AsyncClient(base_url=service) as client:
        (folder / DOCUMENT).write_bytes((await client.get("/openapi.json")).content)
    return folder


async def generate(programs: Path, commands: str, folder: Path, **environment: str) -> None:
    """Run them all at once. None may leave out what it does not understand, but for `NO_LINES`."""
    split = [command.split() for command in commands.splitlines()]
    running = (run(programs / name, *arguments, cwd=folder, **environment) for name, *arguments in split)
    for printed in await asyncio.gather(*running):
        # One line above all warnings says that there are some, and one above each.
        known = len(NO_LINES.findall(printed))
        assert printed.lower().count("warning") == known + bool(known), printed


@pytest.fixture(scope="module")
async def in_typescript(tours: Path, service: str, node_modules: Path) -> Path:
    """The programs in TypeScript: generated, compiled strictly, and each bundled into one file."""
    programs = node_modules / ".bin"
    (tours / "node_modules").symlink_to(node_modules)
    await generate(programs, IN_TYPESCRIPT, tours, SERVICE=service)
    sources = [f"{name}.ts" for name in PROGRAMS_IN_TYPESCRIPT]
    bundling = run(programs / "esbuild", *sources, "--bundle", "--platform=node", "--outdir=js", cwd=tours)
    await asyncio.gather(run(programs / "tsc", "-p", ".", cwd=tours), bundling)
    return tours / "js"


@pytest.fixture(scope="module")
async def in_python(tours: Path, python_programs: Path) -> Path:
    """The folder of the generated programs in Python, after a strict type check."""
    # openapi-python-client formats its code with the ruff that is installed beside it.
    await generate(python_programs, IN_PYTHON, tours, PATH=f"{python_programs}:/usr/bin:/bin")
    # Check how the program uses the package of openapi-python-client, not the package itself.
    sources = ["audit_trail_models.py", *(f"{name}.py" for name in PROGRAMS_IN_PYTHON)]
    check = (sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--python-executable")
    await run(*check, python_programs / "python", "tour.py", *sources, cwd=tours)
    return tours


@pytest.mark.parametrize("name", PROGRAMS_IN_TYPESCRIPT)
async def test_a_generated_typescript_client_works(in_typescript: Path, service: str, name: str) -> None:
    printed = await run("node", f"{name}.js", service, name, cwd=in_typescript)
    assert json.loads(printed) == WENT_AROUND


@pytest.mark.parametrize("name", PROGRAMS_IN_PYTHON)
async def test_a_generated_python_client_works(in_python: Path, python_programs: Path, service: str, name: str) -> None:
    printed = await run(python_programs / "python", f"{name}.py", service, name, cwd=in_python)
    assert json.loads(printed.strip().rpartition("\n")[2]) == WENT_AROUND


@pytest.mark.parametrize(
    "command",
    [
        f"spectral lint {DOCUMENT} --ruleset {FOLDER}/spectral.yaml --fail-severity hint",
        f"redocly lint {DOCUMENT} --config {FOLDER}/redocly.yaml --format json",
    ],
    ids=["spectral", "redocly"],
)
async def test_openapi_linters_report_nothing(tours: Path, node_modules: Path, command: str) -> None:
    program, *arguments = command.split()
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    printed = await run(node_modules / ".bin" / program, *arguments, cwd=tours, **quiet)
    assert "No results with a severity of" in printed or '"warnings": 0' in printed, printed
