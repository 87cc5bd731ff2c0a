"""The limits of a request's head."""

from starlette.types import Scope

from src.config import AppSettings
from src.exceptions import HeadersTooLarge, URITooLong


def limit_head(scope: Scope, settings: AppSettings) -> None:
    """Raises `URITooLong`, `HeadersTooLarge`."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_url_bytes:
        raise URITooLong(f"At most {settings.max_url_bytes} bytes are accepted.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > settings.max_header_bytes:
        raise HeadersTooLarge(f"At most {settings.max_header_bytes} bytes are accepted.")
