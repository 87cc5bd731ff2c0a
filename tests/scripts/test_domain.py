"""`make domain` writes a domain that works; if it refuses, it writes nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from scripts.domain.__main__ import main, write
from scripts.domain.names import MAX_LENGTH, Names, sql_words
from scripts.domain.render import render
from src.config import PROJECT_ROOT
from tests.scripts.conftest import ARCHITECTURE, run

# These names all begin with "spare", so that no real domain has one of them.
# A name of several words with the greatest length: every line must still fit, and every spelling must be correct.
LONGEST = Names("spare_purchase_confirmations", "spare_purchase_confirmation")


def contents(project: Path) -> dict[str, bytes]:
    """The content of every file except caches."""
    files = (path for path in project.rglob("*") if path.is_file())
    by_path = {path.relative_to(project): path.read_bytes() for path in files}
    return {str(path): by_path[path] for path in by_path if not path.name.endswith(".pyc") and path.parts[0][0] != "."}


def test_a_new_domain_keeps_every_rule_and_passes_its_tests(project: Path) -> None:
    assert len(LONGEST.plural) == MAX_LENGTH
    before = contents(project)
    made = run(project, "python", "-m", "scripts.domain", LONGEST.plural)
    assert (made.returncode, made.stderr) == (0, "")
    after = contents(project)
    for path in {path for path in after if after[path] != before.get(path)}:
        assert f"  {path}" in made.stdout
    for check in ("ruff check .", "ruff format --check .", "lint-imports"):
        checked = run(project, *check.split())
        assert checked.returncode == 0, checked.stdout
    tested = run(project, "pytest", "-q", "-k", "spare or unique", f"tests/{LONGEST.plural}", *ARCHITECTURE)
    assert tested.returncode == 0, tested.stdout
    with pytest.raises(SystemExit, match=f"domain: {LONGEST.plural} is taken: src/{LONGEST.plural} is there"):
        render(LONGEST, project)


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("spare_parts", "spare_part"),
        ("spare_companies", "spare_company"),
        ("spare_statuses", "spare_status"),
        ("spare_analyses", "spare_analysis"),
        ("spare_data", "spare_datum"),
        ("spare_people", "spare_person"),
        ("sparenesses", "spareness"),
    ],
)
def test_the_plural_names_the_folder_and_the_path_and_the_singular_the_table(plural: str, singular: str) -> None:
    files = render(Names.choose(plural), PROJECT_ROOT)
    camel, kebab = singular.replace("_", " ").title().replace(" ", ""), plural.replace("_", "-")
    assert f'Table(\n    "{singular}",' in files[Path(f"src/{plural}/models.py")]
    assert f"class {camel}Page(Page[{camel}]):" in files[Path(f"src/{plural}/schemas.py")]
    assert f'prefix=f"{{API_PREFIX}}/{kebab}"' in files[Path(f"src/{plural}/router.py")]
    for path, text in files.items():
        assert "gift" not in f"{path}{text}".lower()
        assert "scripts.domain" not in text


def test_a_singular_can_be_given() -> None:
    assert Names.choose("orders", "customer_order").singular == "customer_order"
    assert Names.choose("billing", "bill").singular == "bill"


@pytest.mark.parametrize(
    ("plural", "singular", "reason"),
    [
        ("", "", "usage: make domain name=invoices"),
        ("invoice", "", "invoice is no plural: make domain name=invoices, or name both"),
        ("status", "", "status is no plural: make domain name=statuses"),
        ("news", "", "news names one as well as many: make domain name=news singular=..."),
        ("invoices", "invoices", "invoices names one as well as many"),
        ("2invoices", "", "'2invoices' is no name for it: lower-case words joined by underscores are"),
        ("Invoices", "", "is no name"),
        ("purchase-orders", "", "is no name"),
        ("purchase orders", "", "is no name"),
        ("_invoices", "", "is no name"),
        ("invoices\n", "", "is no name"),
        ("fälle", "", "is no name"),
        ("../invoices", "", "is no name"),
        ("invoices", "In voice", "is no name"),
        ("x" * MAX_LENGTH + "s", "", f"has more than {MAX_LENGTH} characters"),
        ("classes", "", "class is a word of Python"),
        ("imports", "", "import is a word of Python"),
        ("lists", "", "list is a word of Python"),
        ("timeout_errors", "", "TimeoutError is a word of Python"),
        ("statistics", "", "statistics is a module of Python's own library"),
        ("orders", "", "order is a reserved word of SQL"),
        ("users", "", "user is a reserved word of SQL"),
        ("references", "", "references is a reserved word of SQL"),
        ("test_results", "", "pytest takes for a test whatever begins with test"),
        ("audits", "", "audits is taken: src/audits is there"),
        ("schemas", "", "schemas is taken: src/schemas.py is there"),
        ("outages", "", "outages is taken: tests/outages.py is there"),
        ("scripts", "", "scripts is taken: tests/scripts is there"),
        ("audit_revisions", "", "the table audit_revision is taken: alembic/versions/"),
        ("spare_records", "audit", "the table audit is taken"),
        ("pages", "", "Page would mean two things, as in schemas.py: choose another"),
        ("responses", "", "Response would mean two things"),
        ("spare_troubles", "problem", "Problem would mean two things, as in tests/openapi.json"),
        ("endpoints", "", "Endpoint would mean two things, as in tests/openapi.json"),
        ("metadata", "", "metadata is taken: src/models.py has something of this name"),
        ("alembic_versions", "", "alembic_version is for a table of PostgreSQL or Alembic"),
        ("spare_classes", "pg_class", "pg_class is for a table of PostgreSQL or Alembic"),
    ],
)
def test_an_impossible_name_is_one_clear_line(plural: str, singular: str, reason: str) -> None:
    with pytest.raises(SystemExit) as refused:
        render(Names.choose(plural, singular), PROJECT_ROOT)
    message = str(refused.value)
    assert message.startswith("domain: ")
    assert reason in message
    assert len(message.splitlines()) == 1


def make_domain(project: Path, *arguments: str, **environment: str) -> str:
    """Run `make domain` with an impossible name. Returns what it prints. The environment is already set up."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ("make", "-f", PROJECT_ROOT / "Makefile", "-o", "setup", f"BIN={Path(sys.executable).parent}", "domain")
    made = subprocess.run(
        (*command, *arguments), cwd=project, env=inherited | environment, capture_output=True, text=True
    )
    assert made.returncode == 2
    return made.stderr.partition("\nmake: *** ")[0]


@pytest.mark.parametrize("value", ["a b'c\"d", "a\nb", "$(shell touch x)", "$$(touch x)", "`touch x`", "; touch x"])
def test_a_shell_command_as_name_is_refused_in_one_line_and_not_run(project: Path, value: str) -> None:
    said = f"domain: {value!r} is no name for it: lower-case words joined by underscores are, e.g. purchase_orders"
    assert make_domain(project, f"name={value}") == said
    assert not (project / "x").exists()


def test_a_shell_command_as_singular_is_not_run(project: Path) -> None:
    said = make_domain(project, "name=spare_parts", "singular=$(shell touch x)")
    assert said.startswith("domain: '$(shell touch x)' is no name for it")
    assert not (project / "x").exists()


def test_a_name_in_the_environment_is_ignored(project: Path) -> None:
    usage = "domain: usage: make domain name=invoices [singular=invoice]"
    assert make_domain(project, name="spare_parts", singular="spare_part") == usage
    assert make_domain(project, "-e", name="spare_parts") == usage
    assert make_domain(project, "name=news", singular="spare_part").startswith("domain: news names one as well as many")


async def test_every_reserved_word_of_postgresql_is_known(administrator: asyncpg.Connection) -> None:
    words = await administrator.fetch("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    assert {row["word"] for row in words} <= sql_words()


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("as it was")
    before = contents(tmp_path)
    files = {Path("old.py"): "changed", Path("new/one.py"): "1", Path("old.py/two.py"): "2", Path("three.py"): "3"}
    with pytest.raises(SystemExit, match=r"^domain: cannot write it, and all is as it was: .*old\.py"):
        write(files, tmp_path)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["old.py"]


def test_a_project_without_a_place_for_a_line_is_refused(project: Path) -> None:
    path = project / "src" / "main.py"
    path.write_text(path.read_text().replace("ROUTERS = ", "ALL = "))
    with pytest.raises(SystemExit, match=r"^domain: src/main.py: no place for ', spare_parts_router'"):
        render(Names.choose("spare_parts"), project)


@pytest.mark.parametrize(
    ("path", "added", "reason"),
    [
        ("src/audits/constants.py", "nonsense", r"src/audits/constants\.py:\d+: NameError: name 'nonsense' is not .*"),
        ("src/models.py", "import nothing", r"src/models\.py:\d+: ModuleNotFoundError: No module named 'nothing'"),
        ("alembic/versions/broken.py", "import nothing", r"alembic/versions/broken\.py:1: ModuleNotFoundError: .*"),
        ("tests/openapi.json", "{}", r"tests/openapi\.json is not what the service serves: run make openapi .*"),
    ],
)
def test_a_broken_project_is_one_clear_line_and_stays_unchanged(
    project: Path, monkeypatch: pytest.MonkeyPatch, path: str, added: str, reason: str
) -> None:
    with (project / path).open("a") as file:
        file.write(added)
    before = contents(project)
    monkeypatch.setattr("scripts.domain.__main__.PROJECT", project)
    with pytest.raises(SystemExit) as refused:
        main("spare_parts")
    assert re.fullmatch(f"domain: fix first what is wrong without it: {reason}", str(refused.value))
    assert contents(project) == before
