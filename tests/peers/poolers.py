"""PgBouncer and pgpool in front of a server of the tests, and a standby, in processes of their own."""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scripts.postgres import Cluster

# Debian installs these in folders that are only in the PATH of root.
_PATH = f"{os.defpath}:/usr/sbin:/usr/local/sbin"
_PACKAGES = {"pgbouncer": "pgbouncer", "pgpool": "pgpool2"}


def find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:{_PATH}")
    if found is None:
        pytest.skip(f"{program} is not there (Debian has it in the package {_PACKAGES[program]})")
    return found


@asynccontextmanager
async def pgbouncer(
    cluster: Cluster, folder: Path, mode: str, of_database: str = "", **settings: str
) -> AsyncIterator[str]:
    """Run PgBouncer, and yield the folder of its socket, which leads to every database of the cluster.

    `of_database` is added to the line of each database in PgBouncer's configuration; `settings` are its own.
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
    """Write PgBouncer's configuration, and return the user of the server, as whom PgBouncer has to run.

    The pool is small, so that clients share connections.
    """
    owner = _folder_for(cluster, folder)
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


@asynccontextmanager
async def standby(cluster: Cluster, folder: Path) -> AsyncIterator[Path]:
    """Run a read-only standby of the server, and yield the folder of its socket."""
    owner = _folder_for(cluster, folder)
    data = folder / "data"
    programs = cluster.binaries
    copy = ("-h", cluster.socket_directory, "-U", "app", "-D", data, "-R", "-X", "stream", "-c", "fast")
    await _run(owner, programs / "pg_basebackup", *copy)
    await _run(owner, programs / "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", f"-h '' -k {folder}")
    try:
        yield folder
    finally:
        await _run(owner, programs / "pg_ctl", "stop", "-D", data, "-m", "immediate")


@asynccontextmanager
async def pgpool(cluster: Cluster, standby: Path, folder: Path) -> AsyncIterator[str]:
    """Run pgpool, which sends reads to the standby, and yield the folder of its socket."""
    program = find("pgpool")
    owner = _folder_for(cluster, folder)
    settings = {
        "listen_addresses": "",
        "port": "5432",
        "socket_dir": folder,
        "pcp_socket_dir": folder,
        "pid_file_name": folder / "pid",
        "logdir": folder,
        "backend_hostname0": cluster.socket_directory,
        "backend_port0": "5432",
        "backend_weight0": "0",
        "backend_flag0": "ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER",
        "backend_hostname1": standby,
        "backend_port1": "5432",
        "backend_weight1": "1",
        "backend_flag1": "DISALLOW_TO_FAILOVER",
        "sr_check_user": "app",
        "sr_check_database": "postgres",
        "num_init_children": "60",
        "max_pool": "1",
    }
    configuration = folder / "pgpool.conf"
    configuration.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    process = await asyncio.create_subprocess_exec(
        *(program, "-n", "-f", configuration),
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
        cwd="/",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        async with asyncio.timeout(20):
            while b"successfully started" not in (line := await process.stderr.readline()):
                assert line, "pgpool did not start"
        reading = asyncio.create_task(process.stderr.read())
        yield str(folder)
    finally:
        process.terminate()
        await reading
        await process.wait()


def _folder_for(cluster: Cluster, folder: Path) -> os.stat_result:
    """Make the folder, owned by the user that the server runs as, and return that user."""
    owner = cluster.socket_directory.stat()
    folder.mkdir(mode=0o755)
    os.chown(folder, owner.st_uid, owner.st_gid)
    return owner


async def _run(owner: os.stat_result, *command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, user=owner.st_uid, group=owner.st_gid, extra_groups=[], cwd="/", stdout=DEVNULL, stderr=DEVNULL
    )
    assert await process.wait() == 0, f"{command[0]} failed"
