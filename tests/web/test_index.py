"""The index and the documentation pages."""

import re

import httpx2
import pytest

from src.config import AppSettings, DatabaseSettings
from tests.application import run_application


async def test_the_index_lists_exactly_the_operations_of_the_openapi_document(
    client: httpx2.AsyncClient,
) -> None:
    index = (await client.get("/")).json()
    document = (await client.get("/openapi.json")).json()
    documented = [
        (method.upper(), path, operation["summary"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert [tuple(endpoint.values()) for endpoint in index["endpoints"]] == documented
    assert all(summary for _, _, summary in documented)
    assert (index["name"], index["version"]) == (document["info"]["title"], document["info"]["version"])
    for link in index["links"].values():
        assert (await client.get(link)).status_code == 200


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_documentation_page_refers_to_no_other_host(client: httpx2.AsyncClient, page: str) -> None:
    response = await client.get(page)
    assert response.status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->", "", response.text).replace("/// ", "")
    assets = re.findall(r'(?:src|href)="([^"#]+)"', response.text)
    assert len(assets) >= 2
    for asset in assets:
        assert (await client.get(asset)).status_code == 200


async def test_documentation_pages_can_be_disabled(database: DatabaseSettings) -> None:
    async with run_application(database, AppSettings(docs_enabled=False)) as client:
        assert (await client.get("/docs")).status_code == 404
        assert "docs" not in (await client.get("/")).json()["links"]
