"""The service behind a real nginx, which compresses answers and serves it under a path."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from src.config import DatabaseSettings
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body
from tests.web.test_connection import send_all_then_read
from tests.wire import head

pytestmark = pytest.mark.peers

ROOT_PATH = "/audit"
# With gzip_types nginx compresses JSON and makes its ETags weak.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 100m;
    gzip on;
    gzip_proxied any;
    gzip_min_length 1;
    gzip_types application/json application/problem+json;
    server {{
        listen 127.0.0.1:{port};
        location {root_path}/ {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffer_size 32k;
            proxy_buffers 8 32k;
            proxy_pass {service}{kept};
        }}
    }}
}}
"""


@pytest.fixture(params=["/", ""], ids=["takes the path away", "leaves the path"])
async def nginx(
    database_settings: DatabaseSettings, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """Run nginx in front of the service, and yield its URL."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if not program:
        pytest.skip("nginx is not there")
    port = free_port()
    database_url = database_settings.database_url.get_secret_value()
    async with run_server(database_url, ROOT_PATH=ROOT_PATH, FORWARDED_ALLOW_IPS="127.0.0.1") as server:
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=tmp_path, port=port, root_path=ROOT_PATH, service=server.url, kept=request.param
            )
        )
        process = await asyncio.create_subprocess_exec(
            program, "-p", tmp_path, "-e", tmp_path / "error.log", "-c", configuration
        )
        try:
            await listens(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()
    # Every client is at this address, whatever it says itself.
    assert {line["client"] for line in server.log() if "client" in line} == {"127.0.0.1"}


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


async def listens(port: int, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_create_read_change_and_list_work_through_nginx(nginx: str) -> None:
    async with httpx2.AsyncClient(base_url=nginx, timeout=10) as client:
        created = [await client.post(f"{ROOT_PATH}{AUDITS}", json=audit_body()) for _ in range(3)]
        url = created[0].headers["Location"]
        read = await client.get(url, headers={"X-Forwarded-For": "192.0.2.9"})
        assert (read.headers["Content-Encoding"], read.headers["ETag"]) == ("gzip", 'W/"1"')
        seen = {"If-None-Match": read.headers["ETag"]}
        assert (await client.get(url, headers=seen)).status_code == 304
        # The first change makes the ETag of the second one stale.
        answers = [
            await client.patch(url, json={"status": "failure"}, headers={"If-Match": read.headers["ETag"]})
            for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [200, 412]
        assert answers[1].json()["instance"] == url
        page = await client.get(f"{ROOT_PATH}{AUDITS}", params={"limit": 2})
        links = {relation: target for target, relation in re.findall(r'<([^>]+)>; rel="(\w+)"', page.headers["Link"])}
        following = await client.get(links["next"])
        listed = [record["id"] for answer in (page, following) for record in answer.json()["items"]]
        assert listed == [answer.json()["id"] for answer in reversed(created)]


async def test_a_list_with_long_filters_comes_through_nginx(nginx: str) -> None:
    """Its link is as long as its URL: by default nginx answers 502 to more than 4 KB."""
    async with httpx2.AsyncClient(base_url=nginx, timeout=10) as client:
        for _ in range(3):
            await client.post(f"{ROOT_PATH}{AUDITS}", json=audit_body(entity_id="x" * 1_000))
        ids = ["x" * 1_000, *(str(number) * 1_000 for number in range(6))]
        page = await client.get(f"{ROOT_PATH}{AUDITS}", params={"entity_id": ids, "limit": 1, "offset": 1})
        assert (page.status_code, page.json()["total"]) == (200, 3)
        assert len(page.headers["Link"]) > 7_000


async def test_documentation_pages_load_their_files_through_nginx(nginx: str) -> None:
    async with httpx2.AsyncClient(base_url=nginx, timeout=10) as client:
        index = (await client.get(f"{ROOT_PATH}/")).json()
        for page in ("docs", "redoc"):
            text = (await client.get(index["links"][page])).text
            assets = re.findall(r'(?:src|href)="([^"#]+)"', text)
            assert len(assets) >= 2
            for asset in assets:
                answer = await client.get(asset)
                assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=3600"), asset
        document = (await client.get(index["links"]["openapi"])).json()
        assert document["servers"][0] == {"url": ROOT_PATH}


@pytest.mark.parametrize("fields", [("Content-Length: 5000000",), ("Content-Length: 5000000", "Expect: 100-continue")])
async def test_a_body_that_is_too_large_is_413(nginx: str, fields: tuple[str, ...]) -> None:
    asked = head("POST", f"{ROOT_PATH}{AUDITS}", "Content-Type: application/json", "Connection: close", *fields)
    received = await asyncio.to_thread(send_all_then_read, nginx, asked, b" " * 5_000_000)
    first, _, body = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    assert first.split()[1] == b"413"
    assert b'"payload-too-large"' in body
