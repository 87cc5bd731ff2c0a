"""The path under which a proxy offers the service: `ROOT_PATH`."""

from starlette.types import Scope

from src.config import API_PREFIX, EXPLORER_PATH

# Every path of the service is `/`, or begins with one of these.
_OWN_PREFIXES = (API_PREFIX, "/health", "/docs", "/redoc", "/openapi.json", EXPLORER_PATH)


def set_root_path(scope: Scope, root_path: str) -> None:
    """Set `root_path` of the scope, and add it to the path where it is missing: an ASGI path includes the root path.

    It is missing if a proxy strips it, and in requests that come directly, such as those of probes.
    """
    path: str = scope["path"]
    scope["root_path"] = root_path
    if path == root_path and not _is_service_path(path):
        scope["path"] = f"{path}/"
    elif not _has_root_path(path, root_path):
        scope["path"] = root_path + path


def without_root_path(path: str, root_path: str) -> str:
    """Return the path of a route, which has no root path."""
    return path.removeprefix(root_path) if _has_root_path(path, root_path) else path


def _has_root_path(path: str, root_path: str) -> bool:
    """Whether `path` includes the root path.

    With the root path `/api`, `/api/v1/audits` does not: the rest, `/v1/audits`, is not a path of the service.
    """
    if not path.startswith(f"{root_path}/"):
        return False
    rest = path.removeprefix(root_path)
    return rest == "/" or _is_service_path(rest) or not (_is_service_path(root_path) or _begins_service_path(root_path))


def _is_service_path(path: str) -> bool:
    return any(f"{path}/".startswith(f"{own}/") for own in _OWN_PREFIXES)


def _begins_service_path(path: str) -> bool:
    return any(own.startswith(f"{path}/") for own in _OWN_PREFIXES)
