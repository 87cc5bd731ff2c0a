"""Conditional requests: ETag, If-None-Match and If-Match."""

import asyncio
import time

import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body, create_audit

# The tag "1" as it is changed, when they compress the answer, by nginx, HAProxy and Varnish; Apache and Caddy; others.
AS_PROXIES_SEND_IT = [
    'W/"1"', '"1-gzip"', '"1-br"', '"1-zstd"', '"1-deflate"', '"1;gzip"', '"1;br"', '"1--gzip"',
    'W/"1-gzip"', 'W/"1-br"', 'W/"1;gzip"', '"99", W/"1-zstd"',
]  # fmt: skip
NO_VERSION = [
    '"abc"', '""', 'W/"abc"', '"1,2"', '"01"', '"-1"', '"1-"', '"1-gzipped"', '"1-gzip-gzip"', '"1gzip"',
    '"-gzip"', '"0"', '"1.0"', '"v1"',
]  # fmt: skip
MISSING = f"{AUDITS}/01a202e4-1742-76d7-9e81-3d827693f0c3"


@pytest.fixture(scope="module")
def client(client_of_module: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """One client for all tests of this module: each makes the records that it looks at."""
    return client_of_module


async def test_every_answer_with_a_record_carries_its_version_as_a_strong_etag(client: httpx2.AsyncClient) -> None:
    created = await client.post(AUDITS, json=audit_body())
    url = created.headers["Location"]
    patched = await client.patch(url, json={"status": "failure"})
    replaced = await client.put(url, json=audit_body(occurred_at="2026-01-01T00:00:00Z"))
    read = await client.get(url)
    assert [answer.headers["ETag"] for answer in (created, patched, replaced, read)] == ['"1"', '"2"', '"3"', '"3"']


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [
        ('"1"', 304),
        ('"7", "1"', 304),
        ("*", 304),
        ('"2"', 200),
        ('"2-gzip"', 200),
        ('"a,b", W/"2"', 200),
        ("1", 200),
    ],
)
async def test_if_none_match_with_the_current_version_answers_304(
    client: httpx2.AsyncClient, if_none_match: str, status: int
) -> None:
    record = await create_audit(client)
    response = await client.get(f"{AUDITS}/{record['id']}", headers={"If-None-Match": if_none_match})
    assert (response.status_code, response.headers["ETag"]) == (status, '"1"')
    assert bool(response.content) == (status == 200)


async def test_tags_changed_by_compressing_proxies_still_match_their_version(
    client: httpx2.AsyncClient,
) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    for number, tag in enumerate(AS_PROXIES_SEND_IT, 1):
        current, other = tag.replace('"1', f'"{number}'), tag.replace('"1', f'"{number + 1}')
        assert (await client.get(url, headers={"If-None-Match": current})).status_code == 304, current
        assert (await client.get(url, headers={"If-None-Match": other})).status_code == 200, other
        assert (await change(client, "PATCH", url, other)).status_code == 412, other
        assert (await change(client, "PATCH", url, current)).status_code == 200, current


async def test_a_tag_that_is_no_version_matches_nothing(client: httpx2.AsyncClient) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    for tag in NO_VERSION:
        assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 200, tag
        assert (await change(client, "PATCH", url, tag)).status_code == 412, tag


async def test_the_412_distinguishes_foreign_tags_from_other_versions(client: httpx2.AsyncClient) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    details = {
        tag: (await change(client, "PATCH", url, tag)).json()["detail"]
        for tag in ('"abc"', 'W/"abc", "1-x"', '"2"', '"abc", "2-gzip"')
    }
    foreign, several_foreign, other, mixed = details.values()
    assert foreign == several_foreign
    assert "names no version of this service" in foreign
    assert other == mixed == "It is at version 1; read it again and repeat the change."


async def test_a_list_of_tags_may_span_several_header_lines(client: httpx2.AsyncClient) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    assert (await client.get(url, headers=[("If-None-Match", '"9"'), ("If-None-Match", '"1"')])).status_code == 304
    for second, status in (('"8"', 412), ("zzz", 422), ('"1"', 200)):
        headers = [("If-Match", '"9"'), ("If-Match", second)]
        assert (await client.patch(url, json={"status": "failure"}, headers=headers)).status_code == status


async def test_long_lists_of_tags_are_parsed_quickly(client: httpx2.AsyncClient) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    started = time.monotonic()
    assert (await client.delete(url, headers={"If-Match": '"9",' * 3900})).status_code == 412
    assert (await client.delete(url, headers={"If-Match": '"9' * 5000})).status_code == 422
    assert time.monotonic() - started < 0.5


async def change(client: httpx2.AsyncClient, method: str, url: str, if_match: str) -> httpx2.Response:
    body = {"PUT": audit_body(occurred_at="2026-01-01T00:00:00Z"), "PATCH": {"status": "failure"}}.get(method)
    return await client.request(method, url, json=body, headers={"If-Match": if_match})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('"7", "1"', 200),
        (', "1" ,', 200),
        ("*", 200),
        ('"2"', 412),
        ('W/"2"', 412),
        ('"2-gzip"', 412),
        ('"11"', 412),
        ('W/"1"', 200),
        ('"1-gzip"', 200),
        ('"abc"', 412),
        ("1", 422),
        ('"1', 422),
        ('"1" "2"', 422),
        ("", 422),
        ("*, *", 422),
        ('w/"1"', 422),
    ],
)
async def test_if_match_allows_only_changes_of_the_named_versions(
    client: httpx2.AsyncClient, method: str, if_match: str, status: int
) -> None:
    record = await create_audit(client)
    url = f"{AUDITS}/{record['id']}"
    response = await change(client, method, url, if_match)
    assert response.status_code == status, response.text
    if status == 412:
        assert response.json()["code"] == "version-mismatch"
    if status == 422:
        assert response.json()["errors"][0]["loc"] == ["header", "If-Match"]
    if status != 200:
        assert (await client.get(url)).json() == record


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_removed_record_gets_404_whatever_if_match_says(client: httpx2.AsyncClient, method: str) -> None:
    assert (await change(client, method, MISSING, '"1"')).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_exactly_one_of_several_writers_with_the_same_version_wins(
    client: httpx2.AsyncClient, method: str
) -> None:
    for _ in range(5):
        record = await create_audit(client)
        url = f"{AUDITS}/{record['id']}"
        answers = await asyncio.gather(*(change(client, method, url, '"1"') for _ in range(4)))
        loser = 404 if method == "DELETE" else 412
        assert sorted(answer.status_code for answer in answers) == [200, loser, loser, loser]


async def test_50_concurrent_increments_with_retry_give_exactly_50(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client, details={"n": 0})
    url = f"{AUDITS}/{record['id']}"

    clients = asyncio.Semaphore(10)

    async def increment() -> None:
        async with clients:
            await increment_once()

    async def increment_once() -> None:
        while True:
            read = await client.get(url)
            body = {"details": {"n": read.json()["details"]["n"] + 1}}
            answer = await client.patch(url, json=body, headers={"If-Match": read.headers["ETag"]})
            if answer.status_code == 200:
                return
            assert answer.status_code == 412

    await asyncio.gather(*(increment() for _ in range(50)))
    final = (await client.get(url)).json()
    assert (final["details"], final["version"]) == ({"n": 50}, 51)


async def test_concurrent_patch_and_delete_never_give_a_5xx(client: httpx2.AsyncClient) -> None:
    for _ in range(10):
        record = await create_audit(client)
        url = f"{AUDITS}/{record['id']}"
        patched, deleted = await asyncio.gather(client.patch(url, json={"status": "failure"}), client.delete(url))
        assert (patched.status_code in (200, 404), deleted.status_code) == (True, 200)
