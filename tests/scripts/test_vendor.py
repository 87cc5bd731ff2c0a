"""The libraries of the explorer's page: `make check` says so if one is not as it was published."""

import shutil
from pathlib import Path

import pytest

from scripts import vendor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "src" / "vendor"
    shutil.copytree(vendor.FOLDER, copy)
    monkeypatch.setattr(vendor, "ROOT", tmp_path)
    monkeypatch.setattr(vendor, "FOLDER", copy)
    monkeypatch.setattr(vendor, "SUMS", copy / vendor.SUMS.name)
    monkeypatch.setattr("sys.argv", ["vendor", "--check"])
    return copy


def test_libraries_as_they_were_published_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vendor.main()
    assert "as they were published" in capsys.readouterr().out


@pytest.mark.parametrize("name", vendor.FILES)
def test_a_changed_library_is_a_failure_that_names_the_fix(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(SystemExit, match="make vendor"):
        vendor.main()
