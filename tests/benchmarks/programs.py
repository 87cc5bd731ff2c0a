"""What is measured: the service, and what it is measured against. Some of it is not everywhere."""

import logging
import os
import shutil
import subprocess
from pathlib import Path

from src.config import PROJECT_ROOT
from tests.benchmarks.servers import Program

logger = logging.getLogger(__name__)

SERVICE = Program.of_module("src")
BASELINE = Program.of_module("tests.benchmarks.baseline")
EMPTY = Program.of_module("tests.benchmarks.empty")

# The last commit before routes were compiled.
_EARLIER = "f654782"
_FASTIFY = PROJECT_ROOT / "tests" / "benchmarks" / "fastify"


def earlier(folder: Path) -> Program | None:
    """The service before routes were compiled, checked out in `folder`; `EARLIER=commit` names another commit."""
    return of_commit(os.environ.get("EARLIER") or _EARLIER, "src", folder)


def of_commit(commit: str, module: str, folder: Path) -> Program | None:
    """A module of another commit, which is checked out in `folder`.

    None where the commit is not there, as in a shallow clone.
    """
    if _git("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}").returncode:
        logger.warning("commit %s is not in this clone: nothing is measured beside it", commit)
        return None
    _git("worktree", "prune")
    if not folder.exists():
        _git("worktree", "add", "--detach", str(folder), commit, check=True)
    subprocess.run(["git", "checkout", "--quiet", "--detach", commit], cwd=folder, check=True)
    return Program.of_module(module, folder)


def _git(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, check=check)


def fastify() -> Program | None:
    """The same endpoints on Fastify; None where Node and npm are not there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        logger.warning("Node 20 or newer is not there (https://nodejs.org): nothing is measured beside Fastify")
        return None
    if not (_FASTIFY / "node_modules").exists():
        logger.info("installing Fastify")
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_FASTIFY, check=True)
    return Program((node, str(_FASTIFY / "server.mjs")))
