"""PgBouncer in front of a server of the tests, in a process of its own."""

import asyncio
import os
import shutil
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
    cluster: Cluster, folder: Path, mode: str, of_database: str = "", **settings: str
) -> AsyncIterator[str]:
    """The folder of its socket, at which every database of the cluster can be reached.

    `of_database` is what is said of each database beside where it is, `settings` are PgBouncer's own.
    """
    program = find("pgbouncer")
    owner = _configure(cluster, folder, of_database, {"pool_mode": mode} | settings)
    command = (program, folder / "pgbouncer.ini")
    process = await asyncio.create_subprocess_exec(
        *command, user=owner.st_uid, group=owner.st_gid, extra_groups=[], stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    try:
        async with asyncio.timeout(10):
            while b"process up" not in (line := await process.stderr.readline()):
                assert line, "PgBouncer did not start"
        yield str(folder)
    finally:
        process.terminate()
        await process.communicate()


def _configure(cluster: Cluster, folder: Path, of_database: str, settings: Mapping[str, str]) -> os.stat_result:
    """Who the server runs as, and PgBouncer has to. Few connections for many clients: they go from hand to hand."""
    owner = cluster.socket_directory.stat()
    folder.mkdir(mode=0o755)
    os.chown(folder, owner.st_uid, owner.st_gid)
    usual = {"unix_socket_dir": folder, "listen_port": 5432, "auth_type": "any", "default_pool_size": 4}
    quiet = dict.fromkeys(("log_connections", "log_disconnections", "log_stats", "log_pooler_errors"), 0)
    lines = [
        "[databases]",
        f"* = host={cluster.socket_directory} user=app {of_database}",
        "[pgbouncer]",
        *(f"{name} = {value}" for name, value in (usual | quiet | dict(settings)).items()),
    ]
    (folder / "pgbouncer.ini").write_text("\n".join([*lines, ""]))
    return owner
