"""What the peers need, and where they are."""

import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where `npm ci` has put what `package-lock.json` names."""
    if not shutil.which("node"):
        pytest.skip("Node 20 or newer is not there")
    folder = FOLDER / "node_modules"
    assert folder.is_dir(), "run `make test-peers`, which installs it"
    return folder
