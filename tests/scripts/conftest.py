"""A copy of the project for tests that change it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.config import PROJECT_ROOT
from tests.clusters import MEMORY

COPIED = ("src", "tests", "scripts", "alembic", "alembic.ini", "pyproject.toml")
ARCHITECTURE = ("tests/test_domains.py", "tests/web/test_openapi.py")


@pytest.fixture
def project() -> Iterator[Path]:
    """In memory it takes a quarter of the time: it has a thousand files."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        copy = Path(folder)
        for name in COPIED:
            source = PROJECT_ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("node_modules", ".venv"))
            else:
                shutil.copy2(source, copy / name)
        yield copy


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in the copy."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    program = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run(
        (program, *command[1:]), cwd=project, env=inherited, capture_output=True, text=True, timeout=120
    )
