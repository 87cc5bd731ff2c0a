"""The trees of errors in the docstrings match the code."""

import re
from inspect import getmembers, isclass
from types import ModuleType

import pytest

from src import exceptions
from src.ai import exceptions as ai_exceptions
from src.exceptions import AppError


@pytest.mark.parametrize(("module", "root"), [(exceptions, AppError), (ai_exceptions, ai_exceptions.AIError)])
def test_the_tree_in_the_docstring_has_every_error_with_its_status(module: ModuleType, root: type[AppError]) -> None:
    path = f"{module.__name__.replace('.', '/')}.py"
    errors: dict[str, type[AppError]] = {
        name: kind
        for name, kind in getmembers(module, isclass)
        if issubclass(kind, root) and kind is not root and kind.__module__ == module.__name__
    }
    branches = re.findall(r"[├└]── (\w+)(?: +(\d{3}))?(.*)", module.__doc__ or "")
    drawn = {name: status for name, status, note in branches if " in src/" not in note}
    assert drawn.keys() == errors.keys(), f"{path}: its docstring does not draw the errors that it has; draw them"
    for name, status in drawn.items():
        assert status in ("", str(errors[name].status)), f"{path}: {name} is {errors[name].status}; draw it so"
