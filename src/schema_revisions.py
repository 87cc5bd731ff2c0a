"""The revisions of the schema, by its migrations: the newest one, which this code expects, and those it knows.

It is read from the migration files without Alembic, whose import slows the start (tests/benchmarks/README.md).
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from src.config import PROJECT_ROOT


@dataclass(frozen=True)
class SchemaRevisions:
    head: str | None
    known: frozenset[str]


@cache
def load_schema_revisions(folder: Path = PROJECT_ROOT / "alembic" / "versions") -> SchemaRevisions:
    """Read `revision` and `down_revision` of each migration. Called at start, so that an error in a file shows there.

    Raises `SyntaxError`, `KeyError` where a file lacks one of the two, and `ValueError` where two revisions are newest.
    Cached, because the tests start the application hundreds of times.
    """
    parents = dict(_revision_and_parents(path) for path in sorted(folder.glob("*.py")))
    heads = sorted(set(parents).difference(*parents.values()))
    if len(heads) > 1:
        raise ValueError(f"alembic/versions has several newest revisions: {', '.join(heads)}")
    return SchemaRevisions(heads[0] if heads else None, frozenset(parents))


def _revision_and_parents(path: Path) -> tuple[str, set[str]]:
    assigned = {
        target.id: statement.value
        for statement in ast.parse(path.read_bytes(), path.name).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    revision, parents = (ast.literal_eval(assigned[name]) for name in ("revision", "down_revision"))
    return revision, {parents} if isinstance(parents, str) else set(parents or ())
