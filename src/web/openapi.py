"""The OpenAPI document: how operations describe their answers, and the parts that all operations share."""

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
LINK = header("Link", "The pages around this one (RFC 8288): `first`, `prev`, `next`; of long ones, `next` alone.")
LOCATION = header("Location", "Where the record is.")

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It still has a version of `If-None-Match`.", "headers": ETAG}
}


def describe(
    *errors: type[AppError], status: int = 200, headers: dict[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation: its success, its `errors`, and 422, which every operation can answer."""
    return {status: {"headers": headers or {}}, **problems.documented(*errors, ValidationFailed)}


def also_takes(media_type: str, description: str, example: str) -> dict[str, Any]:
    """Return `openapi_extra` of an operation whose body may be a text of this media type instead of JSON."""
    schema = {"type": "string", "description": description}
    return {"requestBody": {"content": {media_type: {"schema": schema, "example": example}}}}


def tags(routers: Iterable[APIRouter]) -> list[dict[str, Any]]:
    """Return `openapi_tags`: the tag of each router, described by the docstring of its domain's package."""
    descriptions = {tag: _package_docstring(router) for router in routers for tag in router.tags}
    return [{"name": tag, "description": description} for tag, description in descriptions.items()]


def _package_docstring(router: APIRouter) -> str | None:
    module = next((route.endpoint.__module__ for route in router.routes if isinstance(route, APIRoute)), __name__)
    return getdoc(import_module(module.removesuffix(".router")))


def install(app: FastAPI) -> None:
    """Complete the document that FastAPI generates: the schema of problems, examples, and headers of every answer."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = generate()
        document["security"] = []  # Says explicitly that no operation needs credentials.
        _complete_schemas(document["components"]["schemas"])
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            _complete_operation(operation)
        return document

    app.openapi = complete  # type: ignore[method-assign]


def _complete_schemas(schemas: dict[str, Any]) -> None:
    problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for name, schema in schemas.items():
        # FastAPI splits a model of both requests and answers into `-Input` and `-Output`, and gives both one title.
        schema["title"] = name.replace("-", "")
        if text := schema.pop(EXAMPLE_KEY, None):
            schema["examples"] = [json.loads(text)]


def _complete_operation(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    operation["responses"]["default"] = problems.OTHER_ERRORS
    for response in operation["responses"].values():
        response["headers"] = response.get("headers", {}) | problems.REQUEST_ID_HEADER


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, which a URL or header cannot hold: clients would send a text."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return (choices[0] if len(choices) == 1 else {"anyOf": choices}) | rest
