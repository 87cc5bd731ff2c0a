"""`make audit` looks up the libraries of the explorer's page too, and says so where it cannot."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from scripts import audit

# As npm 10 prints it.
NONE: dict[str, Any] = {"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {"total": 0}}}
ONE = NONE | {
    "vulnerabilities": {
        "preact": {
            "name": "preact",
            "severity": "high",
            "via": [{"title": "Of the test", "url": "https://github.com/advisories/GHSA-test"}, "htm"],
        }
    }
}
REFUSED = {"message": "405 Method Not Allowed - POST https://registry.npmjs.org/", "statusCode": 405}


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def npm_that_prints(folder: Path, text: str, status: int) -> None:
    program = folder / "npm"
    # It is run beside the manifests, and with nothing installed.
    program.write_text(
        f"#!/bin/sh\ntest -f package-lock.json && test ! -e node_modules || exit 9\n"
        f"cat <<'END'\n{text}\nEND\nexit {status}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_vulnerable_library_is_found(bin_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npm_that_prints(bin_folder, json.dumps(ONE), 1)
    assert audit.find_vendored_vulnerabilities()
    assert capsys.readouterr().out == "preact: high: Of the test (https://github.com/advisories/GHSA-test)\n"


def test_libraries_without_a_vulnerability_pass(bin_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npm_that_prints(bin_folder, json.dumps(NONE), 0)
    assert not audit.find_vendored_vulnerabilities()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("answer", [json.dumps(REFUSED), "", "<html>"])
@pytest.mark.parametrize("status", [0, 1])
def test_a_registry_that_cannot_be_asked_is_said_to_be_so(
    bin_folder: Path, capsys: pytest.CaptureFixture[str], answer: str, status: int
) -> None:
    npm_that_prints(bin_folder, answer, status)
    assert not audit.find_vendored_vulnerabilities()
    assert (
        "the explorer's libraries NOT checked, skipped: the registry of npm cannot be asked" in capsys.readouterr().out
    )


def test_a_missing_npm_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not audit.find_vendored_vulnerabilities()
    assert "the explorer's libraries NOT checked, skipped: npm is not there" in capsys.readouterr().out
