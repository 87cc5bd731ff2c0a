"""`python -m scripts.audit SITE_PACKAGES`: the licences and the known vulnerabilities of the packages of an image."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

from scripts.lock import ROOT, UV
from scripts.vendor import FOLDER as VENDORED
from scripts.vendor import MANIFESTS

LOCKED = ROOT / "requirements" / "prod.txt"
# These allow to use and distribute the package together with other software. People have to decide on any other.
ALLOWED = re.compile(
    r"\b(MIT|BSD|0BSD|Apache|ISC|MPL|Mozilla|PSF|Python Software Foundation|Unlicense)\b", re.IGNORECASE
)
UNREACHABLE = "error sending request"
NOT_CHECKED = "audit: vulnerabilities of {} NOT checked, skipped: {}"


def licence(package: Distribution) -> str:
    """The package's licence, from the newest metadata field that it has. Of a whole licence text, the first line."""
    metadata = package.metadata
    classified = [name.rpartition(" :: ")[2] for name in metadata.get_all("Classifier", []) if "License" in name]
    named = metadata.get_all("License-Expression") or classified or metadata.get_all("License") or ["unknown"]
    return "; ".join(named).strip().partition("\n")[0]


def list_licences(site_packages: str) -> list[str]:
    """Print each package with its licence. Returns the names of the packages whose licence is not in `ALLOWED`."""
    packages = sorted(distributions(path=[site_packages]), key=lambda package: package.name.lower())
    for package in packages:
        print(f"{package.name} {package.version}: {licence(package)}")
    return [package.name for package in packages if not ALLOWED.search(licence(package))]


def list_vendored_licences() -> list[str]:
    """The same for the libraries of the explorer's page, as the lock of npm names them."""
    packages = json.loads((VENDORED / "package-lock.json").read_text())["packages"]
    found = {path.removeprefix("node_modules/"): package for path, package in packages.items() if path}
    for name, package in found.items():
        print(f"{name} {package['version']}: {package.get('license', 'unknown')}")
    return [name for name, package in found.items() if not ALLOWED.search(package.get("license", "unknown"))]


def find_vulnerabilities() -> bool:
    """Ask the OSV database with uv, and print what it finds. If it cannot be reached, say so and return False."""
    pins = re.findall(r"^([a-z0-9][^\\\n]*?) *\\?$", LOCKED.read_text(), re.MULTILINE)
    project = (
        f'[project]\nname = "locked"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = {json.dumps(pins)}\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(project)
        command = (UV, "audit", "--preview-features=audit-command", "--project", folder)
        done = subprocess.run(command, capture_output=True, text=True)
    if UNREACHABLE in done.stderr:
        print(NOT_CHECKED.format("Python packages", "the database of vulnerabilities cannot be reached"))
        return False
    print(done.stdout, done.stderr, sep="")
    return done.returncode != 0


def find_vendored_vulnerabilities() -> bool:
    """The same for the libraries of the explorer's page, by the registry of npm."""
    if not (npm := shutil.which("npm")):
        print(NOT_CHECKED.format("the explorer's libraries", "npm is not there"))
        return False
    with tempfile.TemporaryDirectory() as folder:
        for name in MANIFESTS:
            shutil.copy(VENDORED / name, folder)
        command = (npm, "audit", "--package-lock-only", "--json")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["vulnerabilities"]
    except (ValueError, KeyError):
        # The exit status is 1 where it refuses, as where it knows of a vulnerability.
        print(NOT_CHECKED.format("the explorer's libraries", "the registry of npm cannot be asked"))
        return False
    for name, vulnerability in found.items():
        about = [f"{each['title']} ({each['url']})" for each in vulnerability["via"] if isinstance(each, dict)]
        print(f"{name}: {vulnerability['severity']}: {'; '.join(about)}")
    return bool(found)


def main() -> None:
    unclear = list_licences(sys.argv[1]) + list_vendored_licences()
    if unclear:
        sys.exit(f"audit: the licences of these packages are not allowed: {', '.join(unclear)}")
    if any([find_vulnerabilities(), find_vendored_vulnerabilities()]):
        sys.exit("audit: vulnerabilities were found, see above")


if __name__ == "__main__":
    main()
