"""The path under which a proxy offers the service: `ROOT_PATH`."""

from starlette.types import Scope

from src.config import API_PREFIX

# What the paths of the service begin with, but `/` itself.
_OWN = (API_PREFIX, "/health", "/docs", "/redoc", "/openapi.json")


def complete(scope: Scope, root_path: str) -> None:
    """Let the path of a request be what its client asked for, with `root_path` before it, as ASGI has it.

    Some proxies take the root path away and some leave it there; probes that come directly never sent it.
    """
    path: str = scope["path"]
    scope["root_path"] = root_path
    if path == root_path and not _is_own(path):
        scope["path"] = f"{path}/"
    elif not _has_root_path(path, root_path):
        scope["path"] = root_path + path


def without(path: str, root_path: str) -> str:
    """The path as the service calls it, whether `root_path` stands before it or not."""
    return path.removeprefix(root_path) if _has_root_path(path, root_path) else path


def _has_root_path(path: str, root_path: str) -> bool:
    """Under `/api`, `/api/v1/audits` is a path without it, since what would be left is none of the service's."""
    if not path.startswith(f"{root_path}/"):
        return False
    rest = path.removeprefix(root_path)
    return rest == "/" or _is_own(rest) or not (_is_own(root_path) or _begins_own(root_path))


def _is_own(path: str) -> bool:
    return any(f"{path}/".startswith(f"{own}/") for own in _OWN)


def _begins_own(path: str) -> bool:
    return any(own.startswith(f"{path}/") for own in _OWN)
