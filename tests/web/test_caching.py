"""Every answer of every operation says in `Cache-Control` whether caches may keep it."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import APIRouter, Response

from src.config import DatabaseSettings
from src.web.index import ASSETS_PATH
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.web.test_openapi import OPERATIONS, resolve

# tests/ledger/test_following.py looks at its headers.
ENDLESS = "GET /api/v1/ledger/changes/stream"


async def call(client: httpx2.AsyncClient, name: str, **parameters: Any) -> httpx2.Response:
    """Call the operation, with the example of its body."""
    method, _, path = name.partition(" ")
    content = OPERATIONS[name].get("requestBody", {}).get("content", {}).get("application/json")
    body = resolve(content["schema"])["examples"][0] if content else None
    return await client.request(method, path.format_map(parameters), json=body)


async def call_each(client: httpx2.AsyncClient, name: str) -> list[httpx2.Response]:
    """Call the operation with an id that does not exist, and with a new record if its domain can create one."""
    collection, is_of_one, _ = name.partition(" ")[2].partition("/{")
    if not is_of_one:
        return [await call(client, name)]
    # A number is the same for every call.
    in_path = [each for each in OPERATIONS[name].get("parameters", []) if each["in"] == "path"]
    numbers = {each["name"]: 0 for each in in_path if each["schema"]["type"] == "integer"}
    (parameter,) = [each["name"] for each in in_path if each["name"] not in numbers]
    identifiers = [str(uuid4())]
    if f"POST {collection}" in OPERATIONS:
        created = await call(client, f"POST {collection}")
        identifiers.append(created.headers["Location"].rpartition("/")[2])
    return [await call(client, name, **numbers, **{parameter: identifier}) for identifier in identifiers]


def assert_cache_control(answer: httpx2.Response, name: str) -> None:
    expected = "no-cache" if "ETag" in answer.headers else "no-store"
    assert answer.headers.get_list("Cache-Control") == [expected], f"{name}: {answer.status_code}"


async def test_only_answers_with_an_etag_may_be_cached(
    client: httpx2.AsyncClient,
) -> None:
    with_version = set()
    for name in [each for each in OPERATIONS if each != ENDLESS]:
        for answer in await call_each(client, name):
            assert_cache_control(answer, name)
            documented = OPERATIONS[name]["responses"].get(str(answer.status_code), {}).get("headers", {})
            assert ("ETag" in documented) == ("ETag" in answer.headers), f"{name}: {answer.status_code}"
            if "ETag" in answer.headers:
                with_version.add(name.partition(" ")[0])
    assert with_version == {"GET", "POST", "PUT", "PATCH"}


async def test_a_304_has_cache_control_too(client: httpx2.AsyncClient) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    answer = await client.get(url, headers={"If-None-Match": '"1"'})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (304, "no-cache")


async def test_answers_outside_operations_must_not_be_stored(client: httpx2.AsyncClient) -> None:
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}
    answers = [
        await client.get("/openapi.json"),
        await client.get("/docs"),
        await client.get("/nope"),
        await client.get(f"{ASSETS_PATH}/nope"),
        await client.head(AUDITS),
        await client.request("BREW", AUDITS),
        await client.options(AUDITS, headers=preflight),
        await client.post(AUDITS, content=b"{"),
        await client.post(AUDITS, json=audit_body(), headers={"If-Match": "", "Content-Type": "text/plain"}),
    ]
    for answer in answers:
        assert answer.headers.get_list("Cache-Control") == ["no-store"], answer.request.url


async def test_documentation_files_may_be_cached_for_an_hour(client: httpx2.AsyncClient) -> None:
    asset = f"{ASSETS_PATH}/favicon.png"
    answer = await client.get(asset)
    same = await client.get(asset, headers={"If-None-Match": answer.headers["ETag"]})
    for each, status in ((answer, 200), (same, 304)):
        assert (each.status_code, each.headers.get_list("Cache-Control")) == (status, ["public, max-age=3600"])


async def test_cache_control_of_a_route_is_kept(database: DatabaseSettings) -> None:
    router = APIRouter()

    @router.get("/own")
    async def own() -> Response:
        return Response(headers={"Cache-Control": "private", "ETag": '"a"'})

    async with run_application(database, routers=[router]) as client:
        assert (await client.get("/own")).headers.get_list("Cache-Control") == ["private"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "304" in OPERATIONS[name]["responses"]])
def test_operations_that_document_304_document_the_etag(name: str) -> None:
    for status in ("200", "304"):
        assert "ETag" in OPERATIONS[name]["responses"][status]["headers"]
