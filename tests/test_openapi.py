"""House rules over the OpenAPI document. Each failure names the operation, the rule and the mend."""

import json
from typing import Any

import pytest

from scripts.openapi import render
from src.config import API_PREFIX

DOCUMENT: dict[str, Any] = json.loads(render())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    for member in ("summary", "description", "tags", "operationId"):
        assert operation.get(member), f"{name}: has no {member}; give it in the route's decorator or docstring"


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return resolved


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_documents_the_model_of_its_answer_with_an_example(name: str) -> None:
    success = [response for status, response in OPERATIONS[name]["responses"].items() if status.startswith("2")]
    assert success, f"{name}: documents no success; give the route a return type"
    for response in success:
        for media_type, content in response["content"].items():
            if media_type == "application/json":
                assert "$ref" in content["schema"], f"{name}: its answer has no model; give the route a return type"
                assert resolve(content["schema"]).get("examples"), f"{name}: give its model an example (model_config)"
            else:
                assert content.get("example"), f"{name}: give its {media_type} an example, in the route's responses"


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if "requestBody" in operation])
def test_every_body_has_an_example(name: str) -> None:
    schema = OPERATIONS[name]["requestBody"]["content"]["application/json"]["schema"]
    assert resolve(schema).get("examples"), f"{name}: give the model of its body an example (model_config)"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if API_PREFIX in name])
def test_every_operation_documents_its_problems(name: str) -> None:
    operation = OPERATIONS[name]
    expected = {"422"} | ({"400", "413", "415"} if "requestBody" in operation else set())
    missing = expected - operation["responses"].keys()
    assert not missing, f"{name}: does not document {missing}; add problems.documented(...) to its responses"
    for status, response in operation["responses"].items():
        media_types = response.get("content", {}).keys()
        assert status < "400" or media_types == {"application/problem+json"}, f"{name}: {status} is no problem document"


def test_operation_ids_are_tag_and_name_and_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids)), "two operations have one id; give their functions different names"
    for name, operation in OPERATIONS.items():
        assert operation["operationId"].startswith(f"{operation['tags'][0]}-"), f"{name}: its id is not tag-name"


def test_every_reference_of_the_document_is_there() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = json.dumps(DOCUMENT)
    for name in {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas
    assert "Problem" in schemas
