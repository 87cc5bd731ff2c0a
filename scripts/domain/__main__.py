"""`python -m scripts.domain NAME [SINGULAR]`: add a domain to the project, completely or not at all."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.domain.names import Names, Refused
from scripts.domain.render import Files, render

PROJECT = Path(__file__).resolve().parents[2]
CONTRACT = Path("tests/openapi.json")
COPIED = ("src", "scripts", "alembic", "alembic.ini", "pyproject.toml", CONTRACT)

# Loads every table and every revision, and compares the document. One process: three take a second more.
CHECK = """
import alembic.config, scripts.openapi, src.models
alembic.config.main(["heads"])
scripts.openapi.main()
"""

REPORT = """\
{names.plural}: table {names.singular}, endpoints under /api/v1/{names.path}

written
{written}
changed
  pyproject.toml      its layer: it may import the domains below it
  src/main.py         its router
  src/models.py       its tables
  tests/openapi.json  its endpoints

next
  1. It has a name and a description: give it what yours has, in models.py and the revision, in schemas.py and
     constants.py, and in its tests. Once the revision has been applied, it stays: make migration m="..." adds one.
  2. make openapi && make check && make test
  3. make run, and open /docs at the address that it prints"""


def main(plural: str = "", singular: str = "") -> None:
    names = Names.choose(plural, singular)
    refuse_broken(PROJECT)
    files = generate(names, PROJECT)
    new = sorted(str(path) for path in files if not (PROJECT / path).exists())
    write(files, PROJECT)
    print(REPORT.format(names=names, written="".join(f"  {path}\n" for path in new)))


def refuse_broken(project: Path) -> None:
    """Raises `Refused` if the project is already broken: the error must not look like one of the new domain."""
    checked = _run(project, "-c", CHECK, "--check")
    if checked.returncode:
        # Show the last line of the traceback that is the project's own, and the error.
        places = re.findall(rf'File "{re.escape(str(project))}/((?:src|alembic)/.+)", line (\d+)', checked.stderr)
        where = "".join(f"{path}:{line}: " for path, line in places[-1:])
        reason = checked.stderr.strip().rpartition("\n")[2]
        raise Refused(f"fix first what is wrong without it: {where}{reason}")


def generate(names: Names, project: Path) -> Files:
    """The text of every file that is new or changes, after it was tried in a copy. Raises `Refused`."""
    files = render(names, project)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            _copy(project / name, copy / name)
        write(files, copy)
        code = [str(path) for path in files if path.suffix == ".py"]
        _run_or_refuse(copy, "ruff", "check", "--fix", "--exit-zero", *code)
        _run_or_refuse(copy, "ruff", "format", *code)
        _run_or_refuse(copy, "ruff", "check", *code)
        _run_or_refuse(copy, "scripts.openapi")
        return {path: (copy / path).read_text() for path in (*files, CONTRACT)}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((sys.executable, *arguments), cwd=folder, capture_output=True, text=True)


def _run_or_refuse(folder: Path, *command: str) -> None:
    done = _run(folder, "-m", *command)
    if done.returncode:
        raise Refused(f"{command[0]} fails on what would have been written:\n{done.stdout}{done.stderr}")


def write(files: Files, project: Path) -> None:
    """Write all files, or restore everything. Raises `Refused`."""
    before = {path: (project / path).read_bytes() for path in files if (project / path).exists()}
    new = {path for path in files if path not in before}
    new |= {path.parent for path in new if not (project / path.parent).exists()}
    try:
        for path, text in files.items():
            (project / path.parent).mkdir(exist_ok=True)
            (project / path).write_text(text)
    except BaseException as error:
        _undo(before, new, project)
        if isinstance(error, OSError):
            raise Refused(f"cannot write it, and all is as it was: {error}") from None
        raise


def _undo(before: Mapping[Path, bytes], new: Iterable[Path], project: Path) -> None:
    # In reverse order the files of a folder come before the folder.
    for path in sorted((project / path for path in new), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.is_file():
            path.unlink()
    for relative, content in before.items():
        (project / relative).write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
