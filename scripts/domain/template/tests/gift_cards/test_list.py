"""Pages: order, limits and cursors."""

import re

import httpx2

from scripts.domain.template.tests.gift_cards.factories import GIFT_CARDS, create_gift_card


async def test_a_page_is_newest_first_and_has_the_total(client: httpx2.AsyncClient) -> None:
    created = [await create_gift_card(client, name=str(number)) for number in range(3)]
    page = (await client.get(GIFT_CARDS)).json()
    assert page == {
        "items": created[::-1], "limit": 20, "offset": 0, "total": 3, "total_relation": "eq", "next_cursor": None,
    }  # fmt: skip


async def test_cursors_and_links_lead_to_every_one_while_others_are_created(client: httpx2.AsyncClient) -> None:
    created = [(await create_gift_card(client))["id"] for _ in range(5)]
    seen: list[str] = []
    url: str | None = f"{GIFT_CARDS}?limit=2"
    while url:
        response = await client.get(url)
        seen += [item["id"] for item in response.json()["items"]]
        link = re.search(r'<([^>]+)>; rel="next"', response.headers["Link"])
        assert bool(link) == bool(response.json()["next_cursor"])
        url = link and link[1]
        await create_gift_card(client)
    assert seen == created[::-1]


async def test_an_invalid_parameter_gets_422_which_names_it(client: httpx2.AsyncClient) -> None:
    for name, value in (("limit", 51), ("offset", -1), ("cursor", "x"), ("count", "all"), ("unknown", 1)):
        response = await client.get(GIFT_CARDS, params={name: value})
        assert response.status_code == 422
        assert [error["loc"] for error in response.json()["errors"]] == [["query", name]]
