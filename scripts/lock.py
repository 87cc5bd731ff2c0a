"""`python -m scripts.lock [--check]`: compile requirements/ from pyproject.toml, or check that they agree."""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".tools" / "bin" / "uv"
SOURCES = {
    "base": ["pyproject.toml"],
    "dev": ["pyproject.toml", "--extra=dev"],
    "prod": ["pyproject.toml", "--extra=prod"],
    "chaos": ["--group=pyproject.toml:chaos"],
    "peers": ["--group=pyproject.toml:peers"],
    "models": ["--group=pyproject.toml:models"],
    "qwen": ["--group=pyproject.toml:qwen"],
}


def compile_to(target: Path, *options: str) -> None:
    """Compile one file. uv keeps the versions that `target` already pins, so that a check needs no newer ones."""
    arguments = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--quiet"]
    arguments += ["--no-emit-index-url", "--no-emit-find-links", "--output-file", str(target)]
    subprocess.run(
        [UV, "pip", "compile", *SOURCES[target.stem], *arguments, *options],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def is_in_step(name: str, folder: Path) -> bool:
    """Whether the locked file is what compiling it again gives, and names no URL of an index."""
    locked, compiled = ROOT / "requirements" / f"{name}.txt", folder / f"{name}.txt"
    copy(locked, compiled)
    compile_to(compiled)
    return compiled.read_text() == locked.read_text() and "://" not in locked.read_text()


def main() -> None:
    if "--check" not in sys.argv:
        for name in SOURCES:
            compile_to(ROOT / "requirements" / f"{name}.txt", "--upgrade")
        return
    with tempfile.TemporaryDirectory() as folder:
        stale = [name for name in SOURCES if not is_in_step(name, Path(folder))]
    if stale:
        sys.exit(
            f"requirements/{{{','.join(stale)}}}.txt: not what pyproject.toml says, or holding a URL: run make lock"
        )
    print("requirements are in step with pyproject.toml")


if __name__ == "__main__":
    main()
