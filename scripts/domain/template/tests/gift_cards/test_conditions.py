"""Conditional requests: ETag, If-None-Match and If-Match."""

import asyncio

import httpx2
import pytest

from scripts.domain.template.tests.gift_cards.factories import GIFT_CARDS, create_gift_card, gift_card_body


async def change(client: httpx2.AsyncClient, method: str, url: str, if_match: str) -> httpx2.Response:
    body = {"PUT": gift_card_body(), "PATCH": {"name": "The second"}}.get(method)
    return await client.request(method, url, json=body, headers={"If-Match": if_match})


async def test_every_answer_with_a_record_carries_its_version_as_etag(client: httpx2.AsyncClient) -> None:
    created = await client.post(GIFT_CARDS, json=gift_card_body())
    url = created.headers["Location"]
    patched = await client.patch(url, json={"name": "The second"})
    replaced = await client.put(url, json=gift_card_body())
    read = await client.get(url)
    assert [answer.headers["ETag"] for answer in (created, patched, replaced, read)] == ['"1"', '"2"', '"3"', '"3"']


@pytest.mark.parametrize(("if_none_match", "status"), [('"1"', 304), ('W/"1"', 304), ("*", 304), ('"2"', 200)])
async def test_if_none_match_with_the_current_version_gets_304(
    client: httpx2.AsyncClient, if_none_match: str, status: int
) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    response = await client.get(url, headers={"If-None-Match": if_none_match})
    assert (response.status_code, response.headers["ETag"], bool(response.content)) == (status, '"1"', status == 200)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("if_match", "status"),
    [('"1"', 200), ("*", 200), ('W/"1"', 200), ('"1-gzip"', 200), ('"2"', 412), ('"abc"', 412), ("1", 422)],
)
async def test_if_match_allows_only_changes_of_the_named_versions(
    client: httpx2.AsyncClient, method: str, if_match: str, status: int
) -> None:
    created = await create_gift_card(client)
    url = f"{GIFT_CARDS}/{created['id']}"
    assert (await change(client, method, url, if_match)).status_code == status
    if status != 200:
        assert (await client.get(url)).json() == created


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_removed_one_gets_404_whatever_if_match_says(client: httpx2.AsyncClient, method: str) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    await client.delete(url)
    assert (await change(client, method, url, '"1"')).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_exactly_one_of_several_writers_with_the_same_version_wins(
    client: httpx2.AsyncClient, method: str
) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    answers = await asyncio.gather(*(change(client, method, url, '"1"') for _ in range(4)))
    loser = 404 if method == "DELETE" else 412
    assert sorted(answer.status_code for answer in answers) == [200, loser, loser, loser]


async def test_concurrent_patches_of_different_fields_both_take_effect(client: httpx2.AsyncClient) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    await asyncio.gather(*(client.patch(url, json={field: "new"}) for field in ("name", "description")))
    stored = (await client.get(url)).json()
    assert (stored["name"], stored["description"], stored["version"]) == ("new", "new", 3)
