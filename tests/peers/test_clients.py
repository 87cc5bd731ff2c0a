"""Clients that generators make of tests/openapi.json alone: they type-check, and go once around with the service."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.peers.conftest import CONTRACT, FOLDER, run

pytestmark = pytest.mark.peers


def assert_went_around(printed: str) -> None:
    """`round_trip.py` and `round_trip.ts` do the same."""
    found: dict[str, Any] = json.loads(printed)
    assert found == {
        "created": {"status": "success", "version": 1},
        "listed": [found["id"]],
        "patched": {"status": "failure", "version": 2},
        "stale": {"status": 412, "code": "version-mismatch"},
        "deleted": {"id": found["id"], "version": 3},
        "gone": {"status": 404, "code": "audit-not-found"},
        "refused": ["query", "limit"],
        "id": found["id"],
    }


async def test_a_python_client(service: str, python_programs: Path, tmp_path: Path) -> None:
    generate = (python_programs / "openapi-python-client", "generate", "--path", CONTRACT, "--meta", "none")
    # It formats what it has made with the ruff beside it.
    search_path = f"{python_programs}:/usr/bin:/bin"
    made = await run(*generate, "--output-path", tmp_path / "audit_trail_client", cwd=tmp_path, PATH=search_path)
    assert "WARNING" not in made, made
    program, python = FOLDER / "round_trip.py", python_programs / "python"
    # Here mypy sees the client, as it does not in `make check`; what it thinks of its inside is not asked.
    check = (sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent")
    await run(*check, "--python-executable", python, program, cwd=tmp_path)
    assert_went_around(await run(python, program, service, cwd=tmp_path, PYTHONPATH=str(tmp_path)))


async def test_a_typescript_client(service: str, node_modules: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    for name in ("package.json", "round_trip.ts"):
        shutil.copy(FOLDER / name, tmp_path)
    # A field of a request that has a default may be left out.
    generate = (node_modules / ".bin" / "openapi-typescript", CONTRACT, "--default-non-nullable", "false")
    await run(*generate, "--output", "schema.d.ts", cwd=tmp_path)
    strict = ("--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess")
    compile_it = (node_modules / ".bin" / "tsc", *strict, "--target", "es2022", "--module", "nodenext")
    await run(*compile_it, "round_trip.ts", cwd=tmp_path)
    assert_went_around(await run("node", "round_trip.js", service, cwd=tmp_path))
