"""`python -m scripts.vendor [--check]`: bring the libraries of the explorer's page with npm, or check them.

npm compares each package with the lock's `integrity`, and runs no script of it. The files are copied byte for byte.
"""

import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from scripts.lock import ROOT

FOLDER = ROOT / "src" / "web" / "explorer" / "vendor"
SUMS = FOLDER / "SHA256SUMS"
MANIFESTS = ("package.json", "package-lock.json")
FILES = {
    "htm.LICENSE": "htm/LICENSE",
    "htm.module.js": "htm/dist/htm.module.js",
    "preact.LICENSE": "preact/LICENSE",
    "preact.mjs": "preact/dist/preact.mjs",
}


def bring() -> None:
    """Install what the lock names in a temporary folder, and copy the files from there."""
    with tempfile.TemporaryDirectory() as folder:
        for name in MANIFESTS:
            shutil.copy(FOLDER / name, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
        for name, source in FILES.items():
            shutil.copyfile(Path(folder, "node_modules", source), FOLDER / name)
    SUMS.write_text(sums())


def sums() -> str:
    """The hashes of the files, as `sha256sum --check` reads them."""
    return "".join(f"{sha256((FOLDER / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES)


def main() -> None:
    if "--check" not in sys.argv:
        bring()
        return
    if SUMS.read_text() != sums():
        sys.exit(
            f"{SUMS.relative_to(ROOT)}: a library of the explorer's page is not as it was published: run make vendor"
        )
    print("the libraries of the explorer's page are as they were published")


if __name__ == "__main__":
    main()
