"""PgBouncer in front of a server of the tests, in a process of its own."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scripts.postgres import Cluster

# Debian puts it where only root looks.
_PATH = f"{os.defpath}:/usr/sbin:/usr/local/sbin"


def find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:{_PATH}")
    if found is None:
        pytest.skip(f"{program} is not there (Debian has it as a package of that name)")
    return found


@asynccontextmanager
async def pgbouncer(
    cluster: Cluster, folder: Path, mode: str, database: Mapping[str, str] | None = None, **settings: str
) -> AsyncIterator[str]:
    """The folder of its socket, at which every database of the cluster can be reached.

    Few connections to the server for many clients, so that these go from hand to hand. `database` is what is said of
    each database, `settings` are PgBouncer's own.
    """
    program = find("pgbouncer")
    owner = cluster.socket_directory.stat()
    folder.mkdir(mode=0o755)
    os.chown(folder, owner.st_uid, owner.st_gid)
    of_database = {"host": str(cluster.socket_directory), "user": "app"} | dict(database or {})
    options = {
        "unix_socket_dir": str(folder),
        "listen_port": "5432",
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": "4",
        "max_client_conn": "500",
    } | settings
    lines = ["[databases]", "* = " + " ".join(f"{name}='{value}'" for name, value in of_database.items()), "[pgbouncer]"]
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in options.items()), ""]))
    process = subprocess.Popen(
        (program, "--quiet", configuration),
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while not (folder / ".s.PGSQL.5432").exists():
                assert process.poll() is None, "PgBouncer did not start"
                await asyncio.sleep(0.01)
        yield str(folder)
    finally:
        process.terminate()
        process.wait()
