"""How operations describe their answers in the OpenAPI document, and what that document says of all of them."""

import json
from collections.abc import Iterable
from importlib import import_module
from inspect import getdoc
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from src.exceptions import AppError, ValidationFailed
from src.schemas import EXAMPLE_KEY, Problem
from src.web import problems


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


def tags(routers: Iterable[APIRouter]) -> list[dict[str, Any]]:
    """For `openapi_tags`: the tag of each router, described by the docstring of its domain's package."""
    described = {tag: _purpose(router) for router in routers for tag in router.tags}
    return [{"name": tag, "description": purpose} for tag, purpose in described.items()]


def _purpose(router: APIRouter) -> str | None:
    module = next((route.endpoint.__module__ for route in router.routes if isinstance(route, APIRoute)), __name__)
    return getdoc(import_module(module.removesuffix(".router")))


def install(app: FastAPI) -> None:
    """Add to the document the problem, to which documented errors refer, and what every answer carries."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        document["security"] = []  # said, and not left open: whoever reaches the service may call it
        _complete_schemas(document["components"]["schemas"])
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            _complete_operation(operation)
        return document

    app.openapi = complete  # type: ignore[method-assign]


def _complete_schemas(schemas: dict[str, Any]) -> None:
    problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for name, schema in schemas.items():
        # Of a model that is both taken and answered FastAPI makes two, `-Input` and `-Output`, with one title.
        schema["title"] = name.replace("-", "")
        if text := schema.pop(EXAMPLE_KEY, None):
            schema["examples"] = [json.loads(text)]


def _complete_operation(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    operation["responses"]["default"] = problems.ANY_OTHER
    for response in operation["responses"].values():
        response["headers"] = response.get("headers", {}) | problems.REQUEST_ID_HEADER


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter. Neither a URL nor a header has a null: a client that sends None sends the text."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return (choices[0] if len(choices) == 1 else {"anyOf": choices}) | rest
