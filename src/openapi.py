"""How operations describe their answers in the OpenAPI document: the headers of success, the problems of failure."""

from typing import Any

from src import problems
from src.exceptions import AppError, ValidationFailed


def header(name: str, description: str) -> dict[str, Any]:
    return {name: {"description": description, "schema": {"type": "string"}}}


ETAG = header("ETag", 'The version, e.g. `"3"`.')
LINK = header("Link", "The pages around this one (RFC 8288): `first`, `prev`, `next`.")
LOCATION = header("Location", "Where the record is.")

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It still has a version of `If-None-Match`.", "headers": ETAG}
}


def describe(
    *errors: type[AppError], status: int = 200, headers: dict[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation. Every one of them can refuse what it is given."""
    return {status: {"headers": headers or {}}, **problems.documented(*errors, ValidationFailed)}
