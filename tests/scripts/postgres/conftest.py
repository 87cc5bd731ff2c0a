"""Clusters for the tests of the embedded PostgreSQL, and helpers to query them."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from scripts.postgres import Cluster
from tests.clusters import MEMORY, migrated_cluster

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run the server as another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that the server's user can enter. It cannot enter pytest's own if root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="postgres-test-", dir=MEMORY)).resolve()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def initialised() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="postgres-test-", dir=MEMORY)).resolve()
    path.chmod(0o755)
    with migrated_cluster(path / "cluster") as cluster:
        query(cluster, "CREATE TABLE kept AS SELECT 42 AS value")
    yield path / "cluster"
    shutil.rmtree(path)


@pytest.fixture
def root(folder: Path, initialised: Path) -> Iterator[Path]:
    """A cluster's folder with the table `kept`."""
    copy = folder / ".postgres"
    subprocess.run(("cp", "-a", initialised, copy), check=True)
    yield copy
    Cluster(copy).stop("immediate")


def query(cluster: Cluster, statement: str) -> Any:
    async def ask() -> Any:
        engine = create_async_engine(cluster.url())
        try:
            async with engine.begin() as connection:
                result = await connection.execute(text(statement))
                return result.scalar() if result.returns_rows else None
        finally:
            await engine.dispose()

    return asyncio.run(ask())


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
