"""`python -m scripts.lock [--check]`: compile requirements/ from pyproject.toml, or check that it is in step."""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".tools" / "bin" / "uv"
EXTRAS = {"base": None, "dev": "dev", "prod": "prod", "chaos": "chaos"}


def compile_to(target: Path, extra: str | None, *options: str) -> None:
    """uv prefers the versions that `target` already pins, so that a check changes with pyproject.toml alone."""
    arguments = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--quiet"]
    arguments += ["--no-emit-index-url", "--no-emit-find-links", "--output-file", str(target), *options]
    if extra:
        arguments += ["--extra", extra]
    subprocess.run(
        [UV, "pip", "compile", "pyproject.toml", *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def in_step(name: str, extra: str | None, folder: Path) -> bool:
    locked, compiled = ROOT / "requirements" / f"{name}.txt", folder / f"{name}.txt"
    copy(locked, compiled)
    compile_to(compiled, extra)
    return compiled.read_text() == locked.read_text() and "://" not in locked.read_text()


def main() -> None:
    if "--check" not in sys.argv:
        for name, extra in EXTRAS.items():
            compile_to(ROOT / "requirements" / f"{name}.txt", extra, "--upgrade")
        return
    with tempfile.TemporaryDirectory() as folder:
        stale = [name for name, extra in EXTRAS.items() if not in_step(name, extra, Path(folder))]
    if stale:
        sys.exit(
            f"requirements/{{{','.join(stale)}}}.txt: not what pyproject.toml says, or holding a URL: run make lock"
        )
    print("requirements are in step with pyproject.toml")


if __name__ == "__main__":
    main()
