"""`python -m scripts.postgres`: its users share one server, the last one stops it, and signals reach the command."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dotenv
import pytest

from scripts import postgres as launcher
from scripts.postgres import Cluster, postgres
from src.config import PROJECT_ROOT
from tests.scripts.postgres.conftest import eventually, only_as_root, query

only_with_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to find a process")

HOLD = ("sh", "-c", "echo ready; read line")
# Prints each signal, and at SIGTERM whether the database still answers.
WITNESS = """
import os, signal, subprocess, sys
signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while (number := signal.sigwait(signals)) != signal.SIGTERM:
    print(signal.Signals(number).name, flush=True)
print("SIGTERM", flush=True)
url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
subprocess.run([sys.argv[1], "-AtX", "-c", "SELECT 'answered'", url], check=True)
raise SystemExit(3)
"""


class Project:
    """A folder with a copy of the launcher, so that no test touches the developer's own data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / ".postgres"
        shutil.copytree(
            Path(launcher.__file__).parent, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__")
        )

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.root)

    @contextlib.contextmanager
    def launch(
        self, *command: str, python: str = sys.executable, user: str | None = None, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        with subprocess.Popen(
            (python, "-m", "scripts.postgres", *command),
            cwd=self.folder,
            env=inherited | environment,
            user=user,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            # Kill a command that hangs, so that the test fails on its output.
            timer = threading.Timer(20, os.killpg, (process.pid, signal.SIGKILL))
            timer.start()
            try:
                yield process
            finally:
                timer.cancel()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def project(root: Path) -> Project:
    return Project(root.parent)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def witness() -> tuple[str, ...]:
    return (sys.executable, "-c", WITNESS, str(launcher.find_binaries() / "psql"))


def test_six_concurrent_users_share_one_server_which_stops_after_the_last(project: Project) -> None:
    show = ("sh", "-c", f"head -n 1 {project.root}/data/postmaster.pid; read line")
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(project.launch(*show)) for _ in range(6)]
        assert {line(user) for user in users} == {str(project.cluster.postmaster_pid())}
        for user in users[1:]:
            user.communicate()
        assert project.cluster.alive()
        users[0].communicate()
    assert not project.cluster.processes_left()


def test_the_launcher_passes_on_status_and_output_of_its_command(project: Project) -> None:
    (project.folder / ".env").write_text("DATABASE_URL=\n")
    with project.launch("sh", "-c", "echo out; exit 7", DATABASE_URL=" ") as process:
        output, progress = process.communicate()
    assert (process.returncode, output) == (7, "out\n")
    assert "postgres: starting PostgreSQL" in progress
    assert "in .postgres\n" in progress
    assert progress.endswith("postgres: stopped\n")


def test_a_command_that_dies_by_a_signal_gives_128_and_its_number(project: Project) -> None:
    with project.launch("sh", "-c", "kill -9 $$") as process:
        process.communicate()
    assert process.returncode == 137


def test_an_unknown_command_starts_nothing(project: Project) -> None:
    with project.launch("no-such-command") as process:
        assert "no-such-command" in process.communicate()[1]
    assert process.returncode == 127


@pytest.mark.parametrize(
    ("number", "received"),
    [(signal.SIGTERM, ["SIGTERM"]), (signal.SIGINT, ["SIGTERM"]), (signal.SIGHUP, ["SIGHUP", "SIGTERM"])],
)
def test_a_signal_stops_the_command_and_then_the_database(
    project: Project, number: signal.Signals, received: list[str]
) -> None:
    with project.launch(*witness()) as process:
        assert line(process) == "ready"
        process.send_signal(number)
        if number == signal.SIGHUP:
            assert line(process) == received.pop(0)
            process.terminate()
        assert process.communicate()[0].split() == [*received, "answered"]
        assert process.returncode == 3
    assert not project.cluster.processes_left()


def test_ctrl_c_gives_the_command_no_second_sigint(project: Project) -> None:
    with project.launch(*witness()) as process:
        assert line(process) == "ready"
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate()[0].split() == ["SIGINT", "SIGTERM", "answered"]
    assert not project.cluster.processes_left()


def test_a_signal_during_the_start_leaves_no_server(project: Project) -> None:
    with project.launch(*HOLD) as process:
        assert process.stderr
        assert "starting" in process.stderr.readline()
        process.terminate()
        output, progress = process.communicate()
    assert (process.returncode, output, progress) == (143, "", "postgres: stopped\n")
    assert not project.cluster.processes_left()


def test_kill_9_of_the_launcher_terminates_the_command_and_then_the_server(project: Project) -> None:
    with project.launch(*witness()) as process:
        assert line(process) == "ready"
        process.kill()
        assert process.communicate()[0].split() == ["SIGTERM", "answered"]
    eventually(lambda: not project.cluster.processes_left())
    assert (project.root / "log").read_text().endswith("database system is shut down\n")


@only_with_proc
def test_the_next_user_replaces_a_keeper_that_was_killed(project: Project) -> None:
    def keepers() -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended by now
                if f"--keep\0{project.root}\0" in (entry / "cmdline").read_text(errors="replace"):
                    found.append(int(entry.name))
        return found

    with project.launch(*HOLD) as first:
        assert line(first) == "ready"
        (killed,) = keepers()
        os.kill(killed, signal.SIGKILL)
        with project.launch(*HOLD) as second:
            assert line(second) == "ready"
            (keeper,) = keepers()
            assert keeper != killed
    eventually(lambda: not project.cluster.processes_left())
    eventually(lambda: not keepers())


def test_an_interrupted_initdb_leaves_nothing_half_made(folder: Path) -> None:
    project = Project(folder)
    with project.launch(*HOLD) as process:
        eventually((project.root / "data.new" / "PG_VERSION").exists)
        process.kill()
    assert not project.cluster.data.exists()
    with postgres(project.root, durable=False) as cluster:
        assert query(cluster, "SELECT 1") == 1


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_with_a_database_url_no_server_is_started_and_the_url_is_not_shown(folder: Path, place: str) -> None:
    project = Project(folder)
    url = "postgresql://somebody:secret@somewhere/else"
    if place == ".env":
        (project.folder / ".env").write_text(f"DATABASE_URL={url}\n")
    environment = {"DATABASE_URL": url if place == "environment" else " "}
    with project.launch("printenv", "DATABASE_URL", **environment) as process:
        output, progress = process.communicate()
    assert (process.returncode, output) == (0, f"{url}\n")
    assert progress == "postgres: DATABASE_URL is set, so no server is started\n"
    assert not project.root.exists()


@only_as_root
def test_an_ordinary_user_needs_nothing_from_root(folder: Path, initialised: Path) -> None:
    project = Project(folder / "home")
    subprocess.run(("cp", "-a", initialised, project.root), check=True)
    subprocess.run(("chown", "-R", "nobody", project.folder), check=True)
    packages = str(Path(dotenv.__file__).parents[1])
    probe = "import os, dotenv, scripts.postgres as p; exit(not os.access(p.find_binaries() / 'pg_ctl', os.X_OK))"
    environment = {"PYTHONPATH": packages}
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(PermissionError, FileNotFoundError):
            if not subprocess.run((python, "-c", probe), cwd=project.folder, user="nobody", env=environment).returncode:
                break
    else:
        pytest.skip("no Python with the project's packages that the user nobody may run")
    with project.launch(*HOLD, python=python, user="nobody", **environment) as process:
        assert line(process) == "ready"
        assert (project.root / "data" / "postmaster.pid").owner() == "nobody"
        assert process.communicate()[1].endswith("postgres: stopped\n")


@pytest.mark.parametrize("is_given", [False, True], ids=["the private one", "that of DATABASE_URL"])
def test_make_psql_opens_the_database(project: Project, is_given: bool) -> None:
    command = (
        "make",
        "-s",
        "-f",
        PROJECT_ROOT / "Makefile",
        "-o",
        "setup",
        f"BIN={Path(sys.executable).parent}",
        "psql",
    )
    with project.launch(*HOLD) as other:
        assert line(other) == "ready"
        url = project.cluster.url("postgres") if is_given else ""
        done = subprocess.run(
            command,
            cwd=project.folder,
            env=os.environ | {"DATABASE_URL": url},
            input="\\pset format unaligned\nSELECT current_database(), current_user",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"{'postgres' if is_given else 'app'}|app" in done.stdout
