"""Gift cards for tests."""

from typing import Any

import httpx2

from src.config import API_PREFIX

GIFT_CARDS = f"{API_PREFIX}/gift-cards"


def gift_card_body(**changes: Any) -> dict[str, Any]:
    """A body that `POST` accepts: the required fields, with `changes`."""
    return {"name": "The first"} | changes


async def create_gift_card(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(GIFT_CARDS, json=gift_card_body(**changes))
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created
