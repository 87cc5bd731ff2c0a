"""The revisions that the service expects are those that Alembic applies."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from src.config import PROJECT_ROOT
from src.schema_revisions import load_schema_revisions


def migration(folder: Path, revision: str, parents: str | tuple[str, ...] | None) -> None:
    (folder / f"{revision}.py").write_text(f"revision = {revision!r}\ndown_revision = {parents!r}\n")


def test_the_revisions_are_those_of_alembic() -> None:
    scripts = ScriptDirectory.from_config(Config(PROJECT_ROOT / "alembic.ini"))
    revisions = load_schema_revisions()
    assert revisions.head == scripts.get_current_head()
    assert revisions.known == {script.revision for script in scripts.walk_revisions()}


def test_a_merge_follows_both_of_its_parents(tmp_path: Path) -> None:
    for revision, parents in (("a", None), ("b", "a"), ("c", "a"), ("d", ("b", "c"))):
        migration(tmp_path, revision, parents)
    assert load_schema_revisions(tmp_path).head == "d"


def test_two_newest_revisions_are_named(tmp_path: Path) -> None:
    for revision, parents in (("a", None), ("b", "a"), ("c", "a")):
        migration(tmp_path, revision, parents)
    with pytest.raises(ValueError, match="several newest revisions: b, c"):
        load_schema_revisions(tmp_path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [("revision = ", SyntaxError, r"x\.py"), ("revision = 'a'", KeyError, "down_revision")],
)
def test_an_error_in_a_file_shows_at_start(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(error, match=message):
        load_schema_revisions(tmp_path)
