"""PostgreSQL servers for tests. They begin with copies of one data directory, since to make it takes a second of CPU.

The processes of one test run share it: the first that needs it makes it, while the others wait.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic import SecretStr

from scripts.postgres import Cluster, postgres
from src.config import PROJECT_ROOT, DatabaseSettings

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""The folder for files that tests write, in memory where possible; None is the usual one for temporary files."""

# In the environment, so that the processes of pytest-xdist know it.
_RUN_FOLDER = "TEST_RUN_FOLDER"


@contextmanager
def run_folder() -> Iterator[None]:
    """Make the folder that the processes of this test run share, and remove it at the end."""
    # The server's user, which is another one if root runs the tests, has to enter it.
    folder = Path(tempfile.mkdtemp(prefix="test-run-", dir=MEMORY)).resolve()
    folder.chmod(0o755)
    os.environ[_RUN_FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[_RUN_FOLDER]
        shutil.rmtree(folder)


@contextmanager
def migrated_cluster(root: Path, *, durable: bool = False) -> Iterator[Cluster]:
    """Run a server in the folder `root`, whose database `app` has all migrations and no records."""
    subprocess.run(("cp", "-a", _migrated_data(), Cluster(root, durable=durable).data), check=True)
    with postgres(root, durable=durable) as cluster:
        yield cluster


def _migrated_data() -> str:
    """The data directory to copy, of a server that was stopped."""
    folder = Path(os.environ[_RUN_FOLDER])
    with (folder / "data").open("a+") as place:
        fcntl.flock(place, fcntl.LOCK_EX)
        place.seek(0)
        if data := place.read():
            return data
        with postgres(folder / "cluster", durable=False) as cluster:
            settings = DatabaseSettings(database_url=SecretStr(cluster.url()))
            command.upgrade(alembic_config(settings), "head")
        place.write(str(cluster.data))
        return str(cluster.data)


def alembic_config(settings: DatabaseSettings) -> Config:
    return Config(PROJECT_ROOT / "alembic.ini", attributes={"database_settings": settings})
