"""The files of a new domain, and the lines that register it in other files."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from scripts.domain.names import Names, Refused

TEMPLATE = Path(__file__).resolve().parent / "template"
PACKAGE = "scripts.domain.template."
EXAMPLE = Names("gift_cards", "gift_card")

# These values in the template's revision are replaced.
_REVISION, _DOWN_REVISION, _CREATED = "0123456789ab", "ba9876543210", "2026-01-31 12:00:00+00:00"

Files = dict[Path, str]
"""The text of each file by its path, relative to the project."""


def render(names: Names, project: Path) -> Files:
    """The text of every file that is new or changes. Raises `Refused` if a name is taken."""
    files = {
        Path(_rename(str(path.relative_to(TEMPLATE)), names)): _rename(path.read_text(), names)
        for folder in ("src", "tests")
        for path in sorted((TEMPLATE / folder / EXAMPLE.plural).glob("*.py"))
    }
    _refuse_taken(names, project)
    _refuse_ambiguous(names, project)
    return files | dict([_revision(names, project)]) | _registrations(names, project)


def _rename(text: str, names: Names) -> str:
    spelled = dict(zip(EXAMPLE.spellings(), names.spellings(), strict=True))
    found = re.compile("|".join(map(re.escape, spelled)))
    return found.sub(lambda match: spelled[match[0]], text.replace(PACKAGE, ""))


def _refuse_taken(names: Names, project: Path) -> None:
    for folder in ("src", "tests"):
        for path in (Path(folder, names.plural), Path(folder, f"{names.plural}.py")):
            if (project / path).exists():
                raise Refused(f"{names.plural} is taken: {path} is there")
    for path in (project / "alembic" / "versions").glob("*.py"):
        if re.search(rf'create_table\(\s*"{names.singular}"', path.read_text()):
            raise Refused(f"the table {names.singular} is taken: {path.relative_to(project)} creates it")
    if names.plural in _names_in(project / "src" / "models.py"):
        raise Refused(f"{names.plural} is taken: src/models.py has something of this name")


def _refuse_ambiguous(names: Names, project: Path) -> None:
    schemas = json.loads((project / "tests" / "openapi.json").read_text())["components"]["schemas"]
    for path in sorted(TEMPLATE.glob("*/*/*.py")):
        used = _names_in(path)
        renamed = {renamed for name in used if (renamed := _rename(name, names)) != name}
        for taken, where in ((used, path.name), (schemas.keys(), "tests/openapi.json")):
            for name in sorted(renamed & taken):
                advice = f"choose another, or make domain name={names.plural} singular=..."
                raise Refused(f"{name} would mean two things, as in {where}: {advice}")


def _names_in(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in _names_of(node)}


def _names_of(node: ast.AST) -> Iterator[str]:
    """The names that the node binds or looks up. Attributes are left out, since they cannot collide."""
    match node:
        case ast.Name():
            yield node.id
        case ast.arg():
            yield node.arg
        case ast.alias():
            yield (node.asname or node.name).split(".")[0]
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name


def _revision(names: Names, project: Path) -> tuple[Path, str]:
    """The path and the text of the migration, which follows the newest one. `file_template` in alembic.ini names it."""
    # Imported here, so that `make domain` refuses an impossible name at once.
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        head = ScriptDirectory.from_config(Config(project / "alembic.ini")).get_current_head()
    except CommandError as error:
        raise Refused(f"alembic/versions: {error}") from None
    now, identifier = datetime.now(UTC), uuid4().hex[-12:]
    text = (TEMPLATE / "alembic" / "versions" / f"create_{EXAMPLE.singular}.py").read_text()
    text = text.replace(_REVISION, identifier).replace(_CREATED, now.isoformat(" ", "seconds"))
    text = text.replace(f'"{_DOWN_REVISION}"', repr(head)).replace(_DOWN_REVISION, head or "")
    return Path("alembic/versions", f"{now:%Y-%m-%d}_create_{names.singular}_{identifier}.py"), _rename(text, names)


def _registrations(names: Names, project: Path) -> Files:
    plural = names.plural
    # Each line is inserted after the match of its pattern. ruff sorts the imports later.
    edits = {
        "src/main.py": [
            (r"^(?=from src\.)", f"from src.{plural}.router import router as {plural}_router\n"),
            (r"^ROUTERS = \([^)]*?(?=,?\s*\)$)", f", {plural}_router"),
        ],
        "src/models.py": [
            (r"^(?=from src\.)", f"from src.{plural} import models as {plural}\n"),
            (r"^__all__ = \[", f'"{plural}", '),
        ],
        # Above the domains that it may import, and below `health`, which may import every domain.
        "pyproject.toml": [(r'^    "health",\n', f'    "{plural}",\n')],
    }
    return {Path(path): _insert(path, (project / path).read_text(), lines) for path, lines in edits.items()}


def _insert(path: str, text: str, lines: list[tuple[str, str]]) -> str:
    for behind, line in lines:
        place = re.search(behind, text, re.MULTILINE)
        if place is None:
            raise Refused(f"{path}: no place for {line.strip()!r}: nothing matches {behind!r}")
        text = text[: place.end()] + line + text[place.end() :]
    return text
