"""The explorer's page and its files."""

import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from scripts import vendor
from src.config import AppSettings, DatabaseSettings
from src.web import explorer_page
from tests import programs
from tests.application import NO_DATABASE, run_application, run_server

EXPLORER = "/explorer"
# The most that the page weighs on the wire, all files together, as gzip.
WEIGHT_LIMIT = 60_000
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
}


def files_of(page: str, base: str = "http://test/explorer") -> list[str]:
    """The URLs of the files that the page names."""
    return sorted(
        {urljoin(base, found) for found in re.findall(r'(?:href|src)="([^"]+)"', page) if "api/v1" not in found}
    )


async def test_the_page_and_its_files_are_served_with_the_headers_that_protect_them(client: httpx2.AsyncClient) -> None:
    page = await client.get(EXPLORER)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    urls = files_of(page.text)
    assert len(urls) == 5
    for url in [EXPLORER, *urls]:
        answer = await client.get(url)
        assert answer.status_code == 200, url
        assert set(answer.headers["Content-Security-Policy"].split("; ")) == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Accept-Encoding" in answer.headers["Vary"]


async def test_the_scripts_import_by_relative_urls_what_the_page_names(client: httpx2.AsyncClient) -> None:
    """A bare name would need an import map in the page, which the policy does not allow."""
    urls = files_of((await client.get(EXPLORER)).text)
    (script,) = [url for url in urls if url.endswith("main.js")]
    libraries = {url for url in urls if "/vendor/" in url}
    later = urljoin(script, "later.js")
    assert await imports_of(client, script) == {*libraries, later}
    assert await imports_of(client, later) == {script}


async def imports_of(client: httpx2.AsyncClient, script: str) -> set[str]:
    answer = await client.get(script)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    return {urljoin(script, name) for name in re.findall(r'(?:\bfrom |\bimport\()"([^"]+)"', answer.text)}


@pytest.mark.parametrize("query", ["", "?zone=local", "?q=", "?record=x"])
async def test_the_page_has_the_browser_ask_for_the_newest_records_at_once(
    client: httpx2.AsyncClient, query: str
) -> None:
    """By the request that the script makes, byte for byte: of any other the answer would be thrown away."""
    (url,) = re.findall(r'<link rel="preload" as="fetch" href="([^"]+)" crossorigin>', (await get_page(client, query)))
    page_size = re.search(r"const PAGE = (\d+);", (explorer_page.FOLDER / "records.js").read_text())
    assert page_size
    assert url == f"api/v1/audits?limit={page_size[1]}"
    assert len((await client.get(f"/{url}")).json()["items"]) == 0


async def test_the_page_of_a_search_asks_for_no_other_records(client: httpx2.AsyncClient) -> None:
    assert 'as="fetch"' not in await get_page(client, "?q=status:failure")


async def get_page(client: httpx2.AsyncClient, query: str) -> str:
    return (await client.get(f"{EXPLORER}{query}")).text


@pytest.mark.parametrize("which", [0, 1])
async def test_what_a_browser_has_is_not_sent_again(client: httpx2.AsyncClient, which: int) -> None:
    page = await client.get(EXPLORER)
    url = [EXPLORER, files_of(page.text)[0]][which]
    answer = await client.get(url)
    assert answer.headers["Cache-Control"] == ["no-cache", "public, max-age=31536000, immutable"][which]
    again = await client.get(url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert again.headers["Cache-Control"] == answer.headers["Cache-Control"]
    assert (await client.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_page_of_another_release_gets_the_files_of_this_one_and_does_not_keep_them(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get(f"{EXPLORER}/0123456789abcdef/main.js")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


async def test_files_are_compressed_for_whoever_takes_gzip(client: httpx2.AsyncClient) -> None:
    url = next(url for url in files_of((await client.get(EXPLORER)).text) if url.endswith("style.css"))
    plain = await client.get(url, headers={"Accept-Encoding": "identity"})
    packed = await client.get(url, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert packed.content == plain.content
    assert packed.headers["ETag"] != plain.headers["ETag"]


async def test_head_answers_as_get_without_a_body(client: httpx2.AsyncClient) -> None:
    read, head = await client.get(EXPLORER), await client.head(EXPLORER)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Length", "Content-Security-Policy", "Cache-Control"):
        assert head.headers[name] == read.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "/explorer/x/../../explorer_page.py",
        "/explorer/x/%2e%2e/%2e%2e/explorer_page.py",
        "/explorer/x/..%2f..%2fexplorer_page.py",
        "/explorer/x//etc/passwd",
        "/explorer/x/vendor",
        "/explorer/x/vendor/package.json",
        "/explorer/x/vendor/SHA256SUMS",
        "/explorer/x/index.html",
        "/explorer/x/",
        "/explorer/x",
        "/explorer/",
        "/explorer/x/store.js",
        "/explorer/x/main.js%00",
        "/explorer/x/MAIN.JS",
    ],
)
async def test_nothing_but_the_files_of_the_page_is_served(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_the_index_links_to_the_page_and_openapi_leaves_it_out(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/")).json()["links"]["explorer"] == EXPLORER
    assert not [path for path in (await client.get("/openapi.json")).json()["paths"] if EXPLORER in path]


async def test_a_method_that_only_writes_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(EXPLORER)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_the_page_can_be_disabled() -> None:
    async with run_application(NO_DATABASE, AppSettings(explorer_enabled=False)) as client:
        assert (await client.get(EXPLORER)).status_code == 404
        assert (await client.get(f"{EXPLORER}/x/main.js")).status_code == 404
        assert "explorer" not in (await client.get("/")).json()["links"]


@pytest.mark.parametrize("prefix", ["", "/audit"], ids=["stripped", "left"])
async def test_the_page_finds_its_files_and_the_api_under_a_root_path(prefix: str) -> None:
    async with run_application(NO_DATABASE, AppSettings(root_path="/audit")) as client:
        page = await client.get(f"{prefix}{EXPLORER}")
        urls = files_of(page.text, "http://test/audit/explorer")
        assert all(url.startswith("http://test/audit/explorer/") for url in urls)
        for url in urls:
            assert (await client.get(prefix + url.removeprefix("http://test/audit"))).status_code == 200, url
        assert (await client.get("/audit/")).json()["links"]["explorer"] == "/audit/explorer"


def test_the_whole_page_weighs_little() -> None:
    site = explorer_page.load()
    contents = [site.page, *site.files.values()]
    assert sum(len(content.packed.content) for content in contents) <= WEIGHT_LIMIT
    assert all(gzip.decompress(content.packed.content) == content.plain.content for content in contents)


def test_a_library_is_served_as_it_was_published() -> None:
    files = explorer_page.load().files
    libraries = [name for name in files if name.startswith("vendor/")]
    assert len(libraries) == 2
    for name in libraries:
        assert files[name].plain.content == (explorer_page.FOLDER / name).read_bytes()


def test_every_module_and_style_is_in_what_is_served() -> None:
    files = explorer_page.load().files
    scripts = [files[name].plain.content.decode() for name in ("main.js", "later.js")]
    style = files["style.css"].plain.content.decode()
    for path in explorer_page.FOLDER.glob("*.js"):
        count = sum(script.count(f"// {path.name}\n") for script in scripts)
        assert count == 1, f"{path.name} is served {count} times"
    for path in explorer_page.FOLDER.glob("*.css"):
        # The last rule of each.
        assert path.read_text().split("\n")[-2].strip() in style
    assert set(files) == {"main.js", "later.js", "style.css", "icon.svg", "vendor/preact.mjs", "vendor/htm.module.js"}


def test_the_libraries_are_as_they_were_published_and_their_licences_beside_them() -> None:
    for line in vendor.SUMS.read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert sha256((vendor.FOLDER / name).read_bytes()).hexdigest() == digest, name
    assert vendor.SUMS.read_text() == vendor.sums()
    libraries = {path.name.partition(".")[0] for path in vendor.FOLDER.glob("*js")}
    manifest = json.loads((vendor.FOLDER / "package.json").read_text())
    assert libraries == set(manifest["dependencies"])
    assert all((vendor.FOLDER / f"{name}.LICENSE").exists() for name in libraries)


OWN_FILES = sorted(path for path in explorer_page.FOLDER.rglob("*") if path.suffix in (".js", ".html"))


@pytest.mark.parametrize("path", OWN_FILES, ids=lambda path: path.name)
def test_no_file_makes_markup_or_code_of_text(path: Path) -> None:
    """The policy would refuse most of it too."""
    if path.parent == vendor.FOLDER:
        return
    text = re.sub(r"//.*", "", path.read_text())
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\bstyle=\"|javascript:|srcdoc",
        text,
    )


async def test_the_server_says_at_its_start_where_the_page_is(database: DatabaseSettings) -> None:
    async with run_server(database.database_url.get_secret_value()) as server:
        assert f"explorer: {server.url}{EXPLORER}" in [line["message"] for line in server.log()]
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{server.url}{EXPLORER}")).status_code == 200


async def test_the_start_reads_no_file_of_the_page() -> None:
    assert json.loads((await programs.run("tests.imported")).stdout)["pages"] == 0
