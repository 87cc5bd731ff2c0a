"""Rules for endpoints and their OpenAPI document. Each failure names the file, the rule and the fix."""

import json
import re
import warnings
from collections.abc import Iterator
from inspect import getsourcefile
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from scripts.openapi import render
from src import main
from src.config import API_PREFIX, PROJECT_ROOT
from src.web import dependencies

with warnings.catch_warnings():
    # FastAPI warns of a repeated operation id; the test below gives a better message.
    warnings.simplefilter("ignore")
    DOCUMENT: dict[str, Any] = json.loads(render())
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
ROUTES = {
    f"{method} {route.path_format}": route
    for router in main.ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
}
CONNECTIONS = {
    dependencies.autocommit_connection,
    dependencies.transaction_connection,
    dependencies.snapshot_connection,
}

every_operation = pytest.mark.parametrize("name", OPERATIONS)


SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def where(name: str) -> str:
    """Return the file, line and function of an operation."""
    return f"{place(ROUTES[name].endpoint)} ({name})"


def place(endpoint: Any) -> str:
    path = Path(getsourcefile(endpoint) or "").relative_to(PROJECT_ROOT)
    return f"{path}:{endpoint.__code__.co_firstlineno}: {endpoint.__name__}"


def test_every_route_is_an_operation_of_the_document() -> None:
    """The rules below check the document, so a route that it does not show would escape them."""
    for route in (route for router in main.ROUTERS for route in router.routes):
        is_documented = isinstance(route, APIRoute) and route.include_in_schema
        assert is_documented, (
            f"{place(getattr(route, 'endpoint', None))} is served and not documented; add it by the methods of its "
            "router, such as get(...), and without include_in_schema=False"
        )


@every_operation
def test_every_operation_is_described(name: str) -> None:
    route, operation = ROUTES[name], OPERATIONS[name]
    # Without a summary FastAPI would make one of the name of the function.
    assert route.summary, f"{where(name)} has no summary; give one in its decorator: summary=..."
    assert operation.get("description"), f"{where(name)} has no description; write its docstring"
    assert operation.get("tags"), f"{where(name)} has no tag; give its router one: APIRouter(tags=[...])"


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    return resolved


@every_operation
def test_every_operation_documents_the_model_of_its_answer_with_an_example(name: str) -> None:
    success = {status: answer for status, answer in OPERATIONS[name]["responses"].items() if status.startswith("2")}
    assert success, f"{where(name)} documents no success; give it a return type"
    for status, answer in success.items():
        assert answer.get("content") or status == "204", f"{where(name)} answers nothing; give it a return type"
        for media_type, content in answer.get("content", {}).items():
            if media_type == "application/json":
                assert "$ref" in content["schema"], f"{where(name)} answers with no model; give it a return type"
                assert resolve(content["schema"]).get("examples"), (
                    f"{where(name)} shows no example; give the model of its answer one: model_config = example(...)"
                )
            else:
                assert content.get("example"), f"{where(name)} shows no example of {media_type}; give its responses one"


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_every_body_has_an_example(name: str) -> None:
    for media_type, content in OPERATIONS[name]["requestBody"]["content"].items():
        if media_type != "application/json":
            assert content.get("example"), f"{where(name)} shows no example of {media_type}; give openapi_extra one"
            continue
        assert "$ref" in content["schema"], f"{where(name)} takes a body without a model; give it one of schemas.py"
        assert resolve(content["schema"]).get("examples"), (
            f"{where(name)} shows no example; give the model of its body one: model_config = example(...)"
        )


@pytest.mark.parametrize("name", [name for name in OPERATIONS if API_PREFIX in name])
def test_every_operation_documents_its_problems(name: str) -> None:
    answers = OPERATIONS[name]["responses"]
    missing = expected_problems(name) - answers.keys()
    assert not missing, (
        f"{where(name)} can answer {', '.join(sorted(missing))} and does not say so; add what raises it to its "
        "responses: openapi.describe(...), and problems.DATABASE_ERRORS for 503"
    )
    for status, answer in answers.items():
        assert status < "400" or answer["content"].keys() == {"application/problem+json"}, (
            f"{where(name)} answers {status} with no problem document; document it by problems.documented(...)"
        )


def expected_problems(name: str) -> set[str]:
    """Return the statuses of the errors that the operation can answer with, judging from its parameters and body."""
    operation = OPERATIONS[name]
    expected = {"422"}
    if "requestBody" in operation:
        expected |= {"400", "413", "415"}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            expected.add("404")
        if parameter["name"] == "If-Match":
            expected.add("412")
    if CONNECTIONS & set(called_by(ROUTES[name].dependant)):
        expected.add("503")
    return expected


def called_by(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from called_by(inner)


def test_operation_ids_are_tag_and_name_and_unique() -> None:
    seen: dict[str, str] = {}
    for name, operation in OPERATIONS.items():
        identifier = operation["operationId"]
        expected = f"{ROUTES[name].tags[0]}-{ROUTES[name].name}"
        assert identifier == expected, f"{where(name)}: its operation id is {identifier}, not {expected}; do not set it"
        assert identifier not in seen, f"{where(name)} and {seen[identifier]} have one operation id; rename a function"
        seen[identifier] = where(name)


def test_the_document_is_valid_openapi_3_1() -> None:
    # Not imported above: it takes half a second, and every process of `make test` collects this module.
    from openapi_spec_validator import OpenAPIV31SpecValidator

    errors = [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()]
    assert (DOCUMENT["openapi"], errors) == ("3.1.0", [])


def test_every_tag_is_described() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag.get("description")}
    for name, operation in OPERATIONS.items():
        assert described.issuperset(operation["tags"]), (
            f"{where(name)} has a tag that nothing describes; give the __init__.py of its package a docstring"
        )


@every_operation
def test_no_parameter_is_nullable(name: str) -> None:
    """A URL or header cannot hold a null: clients would send its text."""
    for parameter in OPERATIONS[name].get("parameters", []):
        assert '"null"' not in json.dumps(parameter["schema"]), (
            f"{where(name)} declares that {parameter['name']} can be null; leave None out of its type"
        )


def named_in(value: Any) -> set[str]:
    """Return the names of all schemas that a part of the document refers to, also indirectly."""
    reached: set[str] = set()
    found = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(value)))
    while found:
        reached |= found
        found = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps([SCHEMAS[n] for n in found]))) - reached
    return reached


def test_requests_refuse_unknown_members() -> None:
    for name in named_in([operation.get("requestBody") for operation in OPERATIONS.values()]):
        assert "properties" not in SCHEMAS[name] or SCHEMAS[name].get("additionalProperties") is False, (
            f"{name} takes unknown members; let CustomModel of src/schemas.py refuse them"
        )


def test_answers_allow_additional_members() -> None:
    """Members that a newer service adds must not break an older client."""
    for name in named_in([operation["responses"] for operation in OPERATIONS.values()]):
        assert SCHEMAS[name].get("additionalProperties") is not False, (
            f"{name} rules out members that a newer service may answer; derive it from CustomModel of src/schemas.py"
        )


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object in a part of the document, except those inside examples."""
    if isinstance(value, dict):
        yield value
        value = [inner for name, inner in value.items() if name not in ("default", "example", "examples")]
    if isinstance(value, list):
        for item in value:
            yield from objects_in(item)


def examples_of(shown: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each example of a schema, a parameter or a body, with its schema."""
    examples = shown.get("examples", [])
    if isinstance(examples, list):
        yield from ((shown, example) for example in examples)
    elif "schema" in shown:
        yield from ((shown["schema"], example["value"]) for example in examples.values())
    if "schema" in shown and "example" in shown:
        yield shown["schema"], shown["example"]


def test_every_example_is_valid() -> None:
    from openapi_schema_validator import OAS31Validator, oas31_format_checker

    examples = [example for shown in objects_in(DOCUMENT) for example in examples_of(shown)]
    assert examples
    for schema, example in examples:
        complete = {**schema, "components": DOCUMENT["components"]}
        for error in OAS31Validator(complete, format_checker=oas31_format_checker).iter_errors(example):
            pytest.fail(f"{error.json_path}: {error.message}, in the example {json.dumps(example)}")
