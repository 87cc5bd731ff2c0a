"""House rules over the OpenAPI document. Each failure names the operation, the rule and the mend."""

import json
from typing import Any

import pytest

from scripts.openapi import render
from src.config import API_PREFIX
from src.main import ROUTERS

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


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_documents_the_model_of_its_answer(name: str) -> None:
    success = [response for status, response in OPERATIONS[name]["responses"].items() if status.startswith("2")]
    assert success, f"{name}: documents no success; give the route a return type"
    for response in success:
        schema = response["content"]["application/json"]["schema"]
        assert schema, f"{name}: its answer has no model; give the route a return type"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if API_PREFIX in name])
def test_every_operation_documents_its_problems(name: str) -> None:
    operation = OPERATIONS[name]
    expected = {"422"} | ({"400", "413", "415"} if "requestBody" in operation else set())
    missing = expected - operation["responses"].keys()
    assert not missing, f"{name}: does not document {missing}; add problems.documented(...) to its responses"
    for status, response in operation["responses"].items():
        media_types = response["content"].keys()
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


def test_every_domain_has_its_router_mounted() -> None:
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == {
        str(tag) for router in ROUTERS for tag in router.tags
    }
