"""What the guides draw of the code is drawn as the code is."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from src.config import PROJECT_ROOT
from src.web.middleware import _Exchange

GUIDE = PROJECT_ROOT / "docs" / "extending.md"
SRC = PROJECT_ROOT / "src"
MODULES = sorted(path for folder in (SRC, SRC / "web") for path in folder.glob("*.py") if path.stem != "__init__")


def steps_called(name: str) -> list[str]:
    """The steps that a step calls, in their order."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(_Exchange, name))))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [call for call in calls if isinstance(call, ast.Attribute) and call.attr in STEPS]
    return [call.attr for call in sorted(called, key=lambda call: call.lineno)]


def layers(name: str = "_add_context") -> list[str]:
    """Each step of a request's exchange, from the outside in."""
    return [name, *(step for called in steps_called(name) for step in layers(called))]


STEPS = re.findall(r"_(?:add|apply|answer|limit)_\w+", " ".join(vars(_Exchange)))


@pytest.mark.parametrize("path", [GUIDE, SRC / "web" / "middleware.py"], ids=lambda path: path.name)
def test_the_steps_around_a_request_are_named_in_the_order_in_which_they_call_each_other(path: Path) -> None:
    order = layers()
    assert len(order) == len(STEPS) == 6
    named = [name for name in re.findall(r"\b_\w+\b", path.read_text()) if name in STEPS]
    assert named[: len(order)] == order


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_the_layout_names_every_module(path: Path) -> None:
    layout = GUIDE.read_text().partition("```\nsrc/\n")[2].partition("```")[0]
    assert re.search(rf"\b{path.name}\b", layout), (
        f"src/{path.relative_to(SRC)}: say in the layout of docs/extending.md what it is for"
    )
