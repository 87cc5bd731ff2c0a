"""Objects that live as long as the process: the lifespan in `src/main.py` makes them, and all requests share them."""

from typing import TypeVar

from starlette.requests import HTTPConnection

T = TypeVar("T")


def shared(request: HTTPConnection, name: str, kind: type[T]) -> T:
    """The object that the lifespan has yielded under this name, which is of this type."""
    found = request.scope["state"][name]
    assert isinstance(found, kind)
    return found
