"""What the guides draw of the code is drawn as the code is."""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from src.config import PROJECT_ROOT
from src.web.middleware import _Exchange

GUIDE = PROJECT_ROOT / "docs" / "extending.md"
SRC = PROJECT_ROOT / "src"
MODULES = sorted(path for folder in (SRC, SRC / "web") for path in folder.glob("*.py") if path.stem != "__init__")


def methods_called(method: Any) -> list[str]:
    """The methods of its own object that a method calls and waits for."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    awaited = [node.value for node in ast.walk(tree) if isinstance(node, ast.Await)]
    return [call.func.attr for call in awaited if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)]


def layers() -> list[str]:
    """Each step of a request's exchange, from the outside in: the one that calls the next."""
    order, name = [], "_add_context"
    while name:
        order.append(name)
        inner = [called for called in methods_called(getattr(_Exchange, name)) if called in STEPS]
        name = inner[0] if inner else ""
    return order


STEPS = re.findall(r"_(?:add|apply|answer|limit)_\w+", " ".join(vars(_Exchange)))


@pytest.mark.parametrize("path", [GUIDE, SRC / "web" / "middleware.py"], ids=lambda path: path.name)
def test_the_steps_around_a_request_are_named_in_the_order_in_which_they_call_each_other(path: Path) -> None:
    order = layers()
    assert len(order) == len(STEPS) == 5
    named = [name for name in re.findall(r"\b_\w+\b", path.read_text()) if name in STEPS]
    assert named[: len(order)] == order


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_layout_names_every_module(path: Path) -> None:
    layout = GUIDE.read_text().partition("```\nsrc/\n")[2].partition("```")[0]
    assert re.search(rf"\b{path.name}\b", layout), (
        f"src/{path.relative_to(SRC)}: say in the layout of docs/extending.md what it is for"
    )
