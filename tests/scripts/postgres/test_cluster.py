"""A cluster keeps its data, has safe settings, and reports problems with its folder."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from scripts import postgres as launcher
from scripts.postgres import Cluster, postgres
from tests.scripts.postgres.conftest import eventually, only_as_root, query


def test_data_survives_a_restart(root: Path) -> None:
    with postgres(root, durable=False) as cluster:
        query(cluster, "INSERT INTO kept VALUES (43)")
    assert not cluster.alive()
    assert cluster.postmaster_pid() is None
    with postgres(root, durable=False) as cluster:
        assert query(cluster, "SELECT sum(value) FROM kept") == 85


@pytest.mark.parametrize("durable", ["on", "off"])
def test_the_server_has_only_a_private_socket_and_only_test_clusters_may_lose_data(root: Path, durable: str) -> None:
    expected = {"listen_addresses": "", "max_connections": "100", "TimeZone": "UTC", "data_checksums": "on"}
    expected |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), durable)
    with postgres(root, durable=durable == "on") as cluster:
        settings = query(
            cluster, f"SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN {(*expected,)}"
        )
        assert cluster.socket_directory.stat().st_mode & 0o777 == 0o700
    assert settings == expected


def test_kill_9_of_the_postmaster_loses_nothing_that_was_committed(root: Path) -> None:
    with postgres(root) as cluster:
        query(cluster, "INSERT INTO kept VALUES (43)")
        pid = cluster.postmaster_pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not cluster.alive())
        cluster.start()
        assert query(cluster, "SELECT sum(value) FROM kept") == 85
        assert cluster.postmaster_pid() != pid


@pytest.mark.parametrize("running", [True, False], ids=["of another program", "of nothing"])
def test_a_stale_process_id_does_not_keep_the_server_from_starting(root: Path, running: bool) -> None:
    owner = (root / "data").stat().st_uid
    with subprocess.Popen(("sleep", "60"), user=owner) as other:
        if not running:
            other.kill()
            other.wait()
        (root / "data" / "postmaster.pid").write_text(f"{other.pid}\n{root}/data\n1\n5432\n{root}\n\n1 1\nready\n")
        (root / ".s.PGSQL.5432.lock").write_text(f"{other.pid}\n{root}/data\n1\n5432\n{root}\n")
        cluster = Cluster(root, durable=False)
        assert cluster.postmaster_pid() is None
        cluster.stop()
        with postgres(root, durable=False):
            assert query(cluster, "SELECT value FROM kept") == 42
        assert (other.poll() is None) == running
        other.kill()


@pytest.mark.parametrize("name", ["long" * 30, "a, b: 'c' %"])
def test_a_path_unfit_for_a_socket_gets_a_private_socket_folder(folder: Path, root: Path, name: str) -> None:
    renamed = root.rename(folder / name)
    with postgres(renamed, durable=False) as cluster:
        assert query(cluster, "SELECT value FROM kept") == 42
        assert cluster.socket_directory.stat().st_mode & 0o777 == 0o700
    cluster.socket_directory.rmdir()


@only_as_root
def test_a_socket_folder_that_somebody_else_made_is_refused(folder: Path) -> None:
    cluster = Cluster(folder / ("long" * 30))
    os.chown(cluster.socket_directory, 12345, -1)
    with pytest.raises(SystemExit, match="belongs to another user"):
        Cluster(cluster.root)
    cluster.socket_directory.rmdir()


def test_a_folder_that_cannot_be_made_is_one_line(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(SystemExit, match=r"^postgres: \S+ cannot be made \([\w ]+\): let .* or set DATABASE_URL$"):
        Cluster(folder / "file" / "data")


def test_data_of_another_major_version_is_refused_with_advice(root: Path) -> None:
    (root / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(SystemExit, match=r"was made by PostgreSQL 9, .* set PG_BIN .* or delete"):
        Cluster(root).start()


def test_a_failed_start_shows_the_end_of_the_log(root: Path) -> None:
    with (root / "data" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(SystemExit, match='unrecognized configuration parameter "nonsense"'):
        Cluster(root).start()


def test_one_clear_line_reports_missing_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(folder))
    with pytest.raises(SystemExit, match=r"no PostgreSQL found: install .*, or set PG_BIN or DATABASE_URL"):
        Cluster(folder / "root")


@only_as_root
def test_folders_that_only_root_may_enter_stay_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    programs = launcher.find_binaries()
    for source in (programs.parent, programs.parents[2] / f"{programs.parents[1].name}.libs"):
        shutil.copytree(source, closed / source.relative_to(programs.parents[2]), symlinks=True)
    monkeypatch.setenv("PG_BIN", str(closed / programs.relative_to(programs.parents[2])))
    with postgres(closed / "project" / ".postgres", durable=False) as cluster:
        assert query(cluster, "SELECT 1") == 1
    assert f"its data is in {cluster.root}" in caplog.text
    for path, mode in ((folder, 0o755), (closed, 0o700), (closed / "project", 0o755)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, 0)
    shutil.rmtree(cluster.root)
    shutil.rmtree(cluster.binaries.parents[2])
