"""What the guides draw of the code is drawn as the code is."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import PROJECT_ROOT, AppSettings, DatabaseSettings
from src.main import create_app
from src.settings import Settings

GUIDE = PROJECT_ROOT / "docs" / "extending.md"
SRC = PROJECT_ROOT / "src"
MODULES = sorted(path for folder in (SRC, SRC / "web") for path in folder.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", [GUIDE, SRC / "web" / "middleware.py"], ids=lambda path: path.name)
def test_the_middlewares_are_named_in_the_order_in_which_a_request_meets_them(path: Path) -> None:
    database = DatabaseSettings(database_url=SecretStr("postgresql://app@/app"))
    app = create_app(Settings(AppSettings(), database, AuditSettings(), AISettings()))
    drawn = re.findall(r"\b\w+Middleware\b", path.read_text())[: len(app.user_middleware)]
    assert drawn == [getattr(entry.cls, "__name__", None) for entry in app.user_middleware]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_layout_names_every_module(path: Path) -> None:
    layout = GUIDE.read_text().partition("```\nsrc/\n")[2].partition("```")[0]
    assert re.search(rf"\b{path.name}\b", layout), (
        f"src/{path.relative_to(SRC)}: say in the layout of docs/extending.md what it is for"
    )
