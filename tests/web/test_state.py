"""What lives as long as the process is asked for by the names that the lifespan yields."""

import re
from typing import get_type_hints

from src.config import PROJECT_ROOT
from src.main import State

SHARED = re.compile(r'\bshared\(\w+, "(\w+)", (\w+)')
OF_SERVER = re.compile(r'app_state\.get\("(\w+)"\)')


def test_everything_shared_is_asked_for_by_its_name_and_type() -> None:
    sources = [path.read_text() for path in (PROJECT_ROOT / "src").rglob("*.py")]
    asked = [found for source in sources for found in SHARED.findall(source)]
    assert len(asked) > 5
    types = {name: kind.__name__ for name, kind in get_type_hints(State).items()}
    assert {(name, kind) for name, kind in asked if types.get(name) != kind} == set()
    of_server = {name for source in sources for name in OF_SERVER.findall(source)}
    assert of_server == {"stop_waiting"}
    assert of_server <= types.keys()
