"""Each contract in pyproject.toml and each rule of the architecture is broken once, and the failure names it."""

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.domain.__main__ import write
from scripts.domain.names import Names
from scripts.domain.render import render
from tests.scripts.conftest import ARCHITECTURE, run


class Breach(NamedTuple):
    """Replaces `old` by `new` in a file, or appends `new`. A line of the output must match the pattern `said`."""

    path: str
    old: str
    new: str
    said: str


SERVICE, ROUTER, SCHEMAS, DEPENDENCIES, MODELS = (
    f"src/spare_parts/{name}.py" for name in ("service", "router", "schemas", "dependencies", "models")
)
PARTS, PART = "/api/v1/spare-parts", "/api/v1/spare-parts/{spare_part_id}"

CONTRACTS = {
    "Who may import whom across src": [
        Breach("src/utils.py", "", "X = 1", "- src.utils"),
        Breach(
            "src/audits/service.py", "", "import src.spare_parts.service", "- src.audits.service -> src.spare_parts.*"
        ),
    ],
    "Who may import whom inside a domain": [
        Breach("src/spare_parts/helpers.py", "", "X = 1", "- src.spare_parts.helpers"),
        Breach(SCHEMAS, "", "import src.spare_parts.service", "- src.spare_parts.schemas -> src.spare_parts.service *"),
    ],
    "Who may import whom inside src/web": [
        Breach("src/web/strange.py", "", "X = 1", "- src.web.strange"),
        Breach("src/web/problems.py", "", "import src.web.openapi", "- src.web.problems -> src.web.openapi *"),
    ],
    "Only src/web, routers, dependencies and main know a web framework": [
        Breach("src/clock.py", "", "import starlette", "*src.clock -> starlette *"),
        Breach(SERVICE, "", "import fastapi", "*src.spare_parts.service -> fastapi *"),
    ],
    "Services, models and exceptions do not import src/web, even indirectly": [
        Breach(SERVICE, "", "import src.web.problems", "*src.spare_parts.service -> src.web.problems *"),
    ],
    "The service does not import Alembic": [
        Breach(SERVICE, "", "import alembic", "*src.spare_parts.service -> alembic *"),
    ],
    "Routers import no SQLAlchemy themselves": [
        Breach(ROUTER, "", "import sqlalchemy", "*src.spare_parts.router -> sqlalchemy *"),
    ],
    "Only main imports routers": [
        Breach("src/web/index.py", "", "import src.spare_parts.router", "- src.web.index -> src.spare_parts.router *"),
    ],
    "Only src/ai/provider.py imports openai": [
        Breach("src/spare_parts/constants.py", "", "import openai", "*src.spare_parts.constants -> openai *"),
    ],
}

RULES = [
    # Rules for a domain, its files and its registrations.
    Breach(
        "src/empty/__init__.py",
        "",
        "X = 1",
        "*src/empty: every domain has the modules of src/audits; write constants.py*",
    ),
    Breach("src/empty/router.py", "", "router = 1", "*src/empty: has no tests; write tests/empty/test_?.py"),
    Breach("tests/gone/test_it.py", "", "X = 1", "*tests/gone: there is no src/gone; delete the folder"),
    Breach(
        "pyproject.toml",
        '    "spare_parts",\n',
        "",
        '*src/spare_parts: nothing says whom it may import; add the line "spare_parts"*',
    ),
    Breach(
        "pyproject.toml",
        '    "ai",\n',
        '    "ai",\n    "former",\n',
        "*pyproject.toml: there is no src/former; take former out of the layers",
    ),
    Breach(
        "src/main.py",
        "    health_router,\n",
        "",
        "*src/health/router.py: the endpoints of router are not served; add it to ROUTERS*",
    ),
    Breach(
        ROUTER,
        "",
        "more = APIRouter(prefix=router.prefix)",
        f"*{ROUTER}: the endpoints of more are not served; add it to ROUTERS*",
    ),
    Breach(
        "src/models.py",
        "from src.spare_parts import models as spare_parts\n",
        "",
        "*src/spare_parts/models.py: Alembic does not see its tables; import it in src/models.py",
    ),
    Breach(
        "src/audits/models.py",
        "",
        "import sqlalchemy\n\nunseen = Table('unseen', sqlalchemy.MetaData())",
        "*src/audits/models.py: Alembic does not see unseen; give it the metadata of src/database.py",
    ),
    Breach(
        SERVICE,
        "",
        "import sqlalchemy\n\nunseen = sqlalchemy.Table('unseen', sqlalchemy.MetaData())",
        f"*{SERVICE}:*: Alembic does not see this table; move it to the domain's models.py",
    ),
    Breach(
        "src/audits/models.py",
        'name="details_size"',
        'name="details_length"',
        "*src/[*]/models.py: *audit_details_length_check is in no migration, and make migration does not see it*",
    ),
    Breach(
        MODELS,
        '"spare_part",',
        '"another",',
        "*alembic/versions: spare_part is created, and no src/[*]/models.py declares it; take it away*",
    ),
    Breach(
        SERVICE,
        "",
        "async def settle(connection: TransactionConnection) -> None:\n    await connection.commit()",
        f"*{SERVICE}:*: .commit()",
    ),
    Breach(
        SERVICE,
        "",
        "async def undo(connection: TransactionConnection) -> None:\n    end = connection.rollback\n    await end()",
        f"*{SERVICE}:*: .rollback()",
    ),
    Breach(SERVICE, "", "from src.database import transaction", f"*{SERVICE}:*: from src.database import transaction"),
    Breach(SERVICE, "", "END = 'COMMIT;'", f"*{SERVICE}:*: COMMIT;"),
    Breach(
        "src/spare_parts/exceptions.py",
        "",
        "async def settle(connection: Exception) -> None:\n    await connection.exec_driver_sql('ROLLBACK')",
        "*src/spare_parts/exceptions.py:*: ROLLBACK",
    ),
    Breach(
        DEPENDENCIES,
        "from src.web.dependencies import AutocommitDep\n",
        "from sqlalchemy import select\nfrom src.web.dependencies import AutocommitDep\n",
        f"*{DEPENDENCIES}:*: from sqlalchemy import select",
    ),
    Breach(
        DEPENDENCIES,
        "",
        "async def count(connection: AutocommitDep) -> object:\n    return await connection.scalar(service._GET)",
        f"*{DEPENDENCIES}:*: .scalar()",
    ),
    Breach(
        DEPENDENCIES,
        "",
        "from src.spare_parts.models import spare_part",
        f"*{DEPENDENCIES}:*: from src.spare_parts.models import spare_part",
    ),
    Breach(
        DEPENDENCIES,
        "",
        "from src.statement import Statement",
        f"*{DEPENDENCIES}:*: from src.statement import Statement",
    ),
    # Rules for an endpoint and its description.
    Breach(
        ROUTER,
        "",
        "@router.get('/hidden', include_in_schema=False)\nasync def hide() -> int:\n    return 1",
        f"*{ROUTER}:*: hide is served and not documented; add it by the methods of its router*",
    ),
    Breach(
        ROUTER, 'summary="List spare parts", ', "", f"*{ROUTER}:*: list_spare_parts (GET {PARTS}) has no summary; give*"
    ),
    Breach(
        ROUTER,
        '    """Afterwards it answers 404."""\n',
        "",
        f"*{ROUTER}:*: delete_spare_part (DELETE {PART}) has no description; write its docstring",
    ),
    Breach(
        ROUTER,
        ") -> SparePartPage:",
        ") -> dict[str, str]:",
        f"*{ROUTER}:*: list_spare_parts (GET {PARTS}) answers with no model; give it a return type",
    ),
    Breach(
        SCHEMAS,
        "model_config = example(_EXAMPLE_RECORD)",
        "",
        f"*{ROUTER}:*: patch_spare_part (PATCH {PART}) shows no example; give the model of its answer one*",
    ),
    Breach(
        SCHEMAS,
        "model_config = example(_EXAMPLE_BODY)",
        "",
        f"*{ROUTER}:*: create_spare_part (POST {PARTS}) shows no example; give the model of its body one*",
    ),
    Breach(
        ROUTER,
        "_REMOVED = openapi.describe(SparePartNotFound, VersionMismatch)",
        "_REMOVED = openapi.describe()",
        f"*{ROUTER}:*: delete_spare_part (DELETE {PART}) can answer 404, 412* and does not say so; add*",
    ),
    Breach(
        ROUTER,
        "responses=problems.documented(*problems.DATABASE_ERRORS),",
        "",
        f"*{ROUTER}:*: list_spare_parts (GET {PARTS}) can answer 503 and does not say so; add*",
    ),
    Breach(
        ROUTER,
        "async def read_spare_part",
        "async def create_spare_part",
        f"*{ROUTER}:*(GET {PART}) and {ROUTER}:*(POST {PARTS}) have one operation id; rename a function",
    ),
    Breach(
        "src/spare_parts/__init__.py",
        '"""Spare parts, to create, list, read, change and remove."""',
        "",
        f"*{ROUTER}:*(POST {PARTS}) has a tag that nothing describes; give the __init__.py of its package a docstring",
    ),
    Breach(
        SCHEMAS,
        "class SparePartQuery(PageQuery):\n",
        "class SparePartQuery(PageQuery):\n    names: list[str | None] = []\n",
        f"*{ROUTER}:*: list_spare_parts (GET {PARTS}) declares that names can be null; leave None out of its type",
    ),
    Breach(
        SCHEMAS,
        'example({"name": "The second"})',
        '{**example({"name": "The second"}), "extra": "ignore"}',
        "*SparePartPatch takes unknown members; let CustomModel of src/schemas.py refuse them",
    ),
    Breach(
        SCHEMAS,
        "class SparePartDeleted(CustomModel):",
        'class SparePartDeleted(CustomModel.__base__, extra="forbid"):',
        "*SparePartDeleted rules out members that a newer service may answer; derive it from CustomModel *",
    ),
    Breach(
        SCHEMAS,
        '"deleted_at": "2026-02-01T08:00:00Z"',
        '"deleted_at": "yesterday"',
        "*$.deleted_at: 'yesterday' is not a 'date-time', in the example {*",
    ),
]


@pytest.fixture
def breached(project: Path) -> Path:
    """The copy with a domain to break the rules in."""
    write(render(Names.choose("spare_parts"), project), project)
    return project


def commit(breach: Breach, project: Path) -> None:
    file = project / breach.path
    file.parent.mkdir(exist_ok=True)
    text = file.read_text() if file.exists() else '"""A breach."""\n'
    assert breach.old in text
    file.write_text(text.replace(breach.old, breach.new, 1) if breach.old else f"{text}\n\n{breach.new}\n")


def assert_named(breach: Breach, output: str) -> None:
    if not any(fnmatch(line, breach.said) for line in output.splitlines()):
        pytest.fail(f"{breach} was not named in:\n{output}", pytrace=False)


def test_a_breach_of_each_contract_is_named(breached: Path) -> None:
    breaches = [breach for broken in CONTRACTS.values() for breach in broken]
    for breach in breaches:
        commit(breach, breached)
    output = run(breached, "lint-imports").stdout
    for breach in breaches:
        assert_named(breach, output)
    assert re.findall(r"^(.+) BROKEN", output, re.MULTILINE) == [*CONTRACTS]


def test_a_breach_of_each_rule_names_the_file_the_rule_and_the_fix(breached: Path) -> None:
    for breach in RULES:
        commit(breach, breached)
    # No rule is about what the specification of OpenAPI says, and to check that takes a third of the time.
    tested = run(breached, "pytest", "--tb=short", "-k", "not valid_openapi", *ARCHITECTURE)
    for breach in RULES:
        assert_named(breach, tested.stdout + tested.stderr)
