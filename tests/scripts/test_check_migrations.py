"""`make check` says what is wrong with migrations, and how to fix it."""

from pathlib import Path

from src.schema_revisions import load_schema_revisions
from tests.scripts.conftest import run

REVISION = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "{}", "{}", None, None


def upgrade() -> None:
    op.execute("nonsense")
"""


def check(project: Path, *revisions: str) -> str:
    """The last line that it prints for a project with these additional revisions."""
    for name in revisions:
        (project / "alembic" / "versions" / f"{name}.py").write_text(
            REVISION.format(name, load_schema_revisions().head)
        )
    checked = run(project, "python", "-m", "scripts.check_migrations")
    assert checked.returncode == 1
    return checked.stderr.splitlines()[-1]


def test_the_error_names_two_head_revisions(project: Path) -> None:
    said = "alembic/versions: nothing follows spare_one.py and spare_two.py: make one the down_revision of the other"
    assert check(project, "spare_one", "spare_two") == said


def test_a_failing_migration_is_not_reported_as_missing(project: Path) -> None:
    assert check(project, "spare_one").startswith("a migration cannot be applied: fix what is said above")
