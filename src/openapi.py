"""How operations describe their answers in the OpenAPI document, and what that document says of all of them."""

from typing import Any

from fastapi import FastAPI

from src import problems
from src.exceptions import AppError, ValidationFailed
from src.schemas import Problem


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


def install(app: FastAPI) -> None:
    """Add to the document the problem, to which documented errors refer, and what every answer carries."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            operation["responses"]["default"] = problems.ANY_OTHER
            for response in operation["responses"].values():
                response["headers"] = response.get("headers", {}) | problems.REQUEST_ID_HEADER
        return document

    app.openapi = complete  # type: ignore[method-assign]
