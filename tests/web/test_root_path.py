"""Behind a proxy that serves the service under a path, every link in an answer works for the client."""

import asyncio
import logging
import re
from typing import Any

import httpx2
import pytest

from src.config import AppSettings, DatabaseSettings
from tests.ai.application import ai_settings
from tests.ai.fake_provider import run_provider
from tests.ai.test_audit_queries import QUERY, understands
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body

# The last two begin like paths of the service.
ROOT_PATHS = ["/team-1/audit.v2", "/api", "/health"]
both_ways = pytest.mark.parametrize("strips", [True, False], ids=["stripped", "left"])


class Proxied(httpx2.AsyncBaseTransport):
    """A proxy that forwards requests under the root path and refuses all others."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, root_path: str, *, strips: bool) -> None:
        self.transport, self.root_path, self.strips = transport, root_path.encode(), strips

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = request.url.raw_path
        assert asked.startswith(self.root_path + b"/"), asked
        if self.strips:
            request.url = request.url.copy_with(raw_path=asked.removeprefix(self.root_path))
        return await self.transport.handle_async_request(request)


def behind_proxy(direct: httpx2.AsyncClient, root_path: str, *, strips: bool) -> httpx2.AsyncClient:
    # Use the transport of the client, because the client itself would prepend its `base_url` to each path.
    transport = Proxied(direct._transport, root_path, strips=strips)  # noqa: SLF001
    return httpx2.AsyncClient(transport=transport, base_url="http://proxy")


def under(root_path: str, database: DatabaseSettings, *settings: Any) -> Any:
    return run_application(database, AppSettings(root_path=root_path, place_timeout=5), *settings)


@both_ways
@pytest.mark.parametrize("root_path", ROOT_PATHS)
async def test_every_link_has_the_root_path(database: DatabaseSettings, root_path: str, strips: bool) -> None:
    async with under(root_path, database) as direct:
        client = behind_proxy(direct, root_path, strips=strips)
        index = (await client.get(f"{root_path}/")).json()
        for link in index["links"].values():
            assert (await client.get(link)).status_code == 200, link
        audits = next(each["path"] for each in index["endpoints"] if each["path"].endswith("/audits"))
        assert audits == f"{root_path}{AUDITS}"
        created = [await client.post(audits, json=audit_body()) for _ in range(2)]
        assert (await client.get(created[0].headers["Location"])).json() == created[0].json()
        for url in (audits, f"{created[0].headers['Location']}/history"):
            page = await client.get(url, params={"limit": 1})
            links = re.findall(r'<([^>]+)>; rel="(\w+)"', page.headers["Link"])
            assert links
            for link, _ in links:
                assert (await client.get(link)).status_code == 200, link
        for nothing in (f"{audits}/01a202e4-1742-76d7-9e81-3d827693f0c3", f"{root_path}/api/v1/nope"):
            missing = await client.get(nothing)
            assert (missing.status_code, missing.json()["instance"]) == (404, nothing)
        wrong = await client.request("PATCH", audits)
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, HEAD, POST")


@both_ways
@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_documentation_pages_load_their_files_and_the_document_under_a_root_path(
    database: DatabaseSettings, page: str, strips: bool
) -> None:
    async with under("/audit", database) as direct:
        client = behind_proxy(direct, "/audit", strips=strips)
        text = (await client.get(f"/audit{page}")).text
        assets = re.findall(r'(?:src|href)="([^"#]+)"', text)
        document = re.search(r"""(?:url: '|spec-url=")([^'"]+)""", text)
        assert document
        assert len(assets) >= 2
        for asset in assets:
            assert (await client.get(asset)).status_code == 200, asset
        described = (await client.get(document[1])).json()
        assert described["servers"] == [{"url": "/audit"}]
        assert AUDITS in described["paths"]


async def test_the_url_of_a_question_has_the_root_path(database: DatabaseSettings) -> None:
    async with run_provider() as provider, under("/audit", database, ai_settings(provider)) as direct:
        client = behind_proxy(direct, "/audit", strips=True)
        provider.replies(understands(status=["failure"]))
        answer = (await client.post(f"/audit{QUERY}", json={"question": "What failed?", "dry_run": True})).json()
        assert answer["url"] == f"/audit{AUDITS}?status=failure"
        assert (await client.get(answer["url"])).status_code == 200


@both_ways
@pytest.mark.parametrize("root_path", ["/audit", "/api"])
async def test_log_lines_idempotency_keys_and_limits_ignore_the_root_path(
    database: DatabaseSettings, root_path: str, strips: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "src.access")
    key = {"Idempotency-Key": "k"}
    async with run_application(database) as plain:
        first = await plain.post(AUDITS, json=audit_body(), headers=key)
    async with under(root_path, database) as direct:
        client = behind_proxy(direct, root_path, strips=strips)
        again = await client.post(f"{root_path}{AUDITS}", json=audit_body(), headers=key)
        assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", first.json())
        large = await client.post(f"{root_path}{AUDITS}", content=b" " * 2**20 + b"{}")
        assert large.status_code == 413
        # Probes do not come through the proxy.
        assert (await direct.get("/health/ready")).status_code == 200
        await client.get(f"{root_path}/docs/assets/favicon.png")
    lines = [record.__dict__ for record in caplog.records if record.name == "src.access"]
    seen = [(line["path"], line["route"]) for line in lines]
    assert seen == [
        *[(AUDITS, AUDITS)] * 3,
        ("/health/ready", "/health/ready"),
        ("/docs/assets/favicon.png", None),
    ]


@both_ways
async def test_requests_under_a_root_path_are_limited(database: DatabaseSettings, strips: bool) -> None:
    settings = AppSettings(root_path="/audit", max_in_flight=1, max_waiting=0)
    async with run_application(database, settings, ai_settings(ai_max_in_flight=1, max_in_flight=1)) as direct:
        client = behind_proxy(direct, "/audit", strips=strips)
        answers = await asyncio.gather(*(client.get(f"/audit{AUDITS}") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200, 503}
        assert (await client.get("/audit/health")).status_code == 200


async def test_a_path_that_only_starts_with_the_letters_of_the_root_path_is_404(
    database: DatabaseSettings,
) -> None:
    async with under("/audit", database) as direct:
        assert (await direct.get(f"/audits{AUDITS}")).status_code == 404
        assert (await direct.get(f"/audit/audit{AUDITS}")).status_code == 404
        assert (await direct.get("/audit")).json()["links"]["docs"] == "/audit/docs"


@pytest.mark.parametrize("value", ["", "/a", "/a/b-1", "/a.b/_~", "/...", "/AUDIT"])
def test_valid_root_paths(value: str) -> None:
    assert AppSettings(root_path=value).root_path == value


@pytest.mark.parametrize(
    "value",
    ["audit", "/", "/audit/", "//audit", "/a//b", "/a?b", "/a#b", "/a b", "/a\n", "/ä", "/a%20b", "/a'b", '/a"b',
     "/a<b", "/.", "/a/../b", "http://a/b", "/{a}"],
)  # fmt: skip
def test_invalid_root_paths_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must look like /audit"):
        AppSettings(root_path=value)


async def test_a_404_names_the_index_under_the_root_path(
    database: DatabaseSettings,
) -> None:
    async with under("/audit", database) as client:
        for path in ("/audit/nothing", "/audit/docs/assets/nothing"):
            answer = await client.get(path)
            assert (answer.status_code, "GET /audit/ lists" in answer.json()["detail"]) == (404, True), answer.text
