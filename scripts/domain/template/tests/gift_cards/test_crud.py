"""Create, read, replace, patch and delete: statuses, headers and bodies."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from scripts.domain.template.tests.gift_cards.factories import GIFT_CARDS, create_gift_card, gift_card_body

MISSING = f"{GIFT_CARDS}/01a202e4-1742-76d7-9e81-3d827693f0c3"


async def test_create_answers_201_with_location_and_the_created_one(client: httpx2.AsyncClient) -> None:
    response = await client.post(GIFT_CARDS, json=gift_card_body(description="Ünïcode/☃"))
    created = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"{GIFT_CARDS}/{created['id']}"
    assert created.keys() == {"id", "name", "description", "created_at", "updated_at", "version"}
    assert UUID(created["id"]).version == 7
    assert (created["name"], created["description"], created["version"]) == ("The first", "Ünïcode/☃", 1)
    assert created["created_at"] == created["updated_at"]
    assert (await client.get(response.headers["Location"])).json() == created


async def test_put_replaces_everything_and_makes_a_version(client: httpx2.AsyncClient) -> None:
    created = await create_gift_card(client, description="before")
    response = await client.put(f"{GIFT_CARDS}/{created['id']}", json=gift_card_body(name="The second"))
    replaced = response.json()
    changed = {"name": "The second", "description": None, "version": 2, "updated_at": replaced["updated_at"]}
    assert (response.status_code, replaced) == (200, created | changed)
    assert (await client.get(f"{GIFT_CARDS}/{created['id']}")).json() == replaced


async def test_patch_changes_only_the_given_fields_and_makes_a_version(client: httpx2.AsyncClient) -> None:
    created = await create_gift_card(client, description="before")
    response = await client.patch(f"{GIFT_CARDS}/{created['id']}", json={"description": None})
    patched = response.json()
    assert response.status_code == 200
    assert patched == created | {"description": None, "version": 2, "updated_at": patched["updated_at"]}
    assert patched["updated_at"] > created["updated_at"]
    assert (await client.get(f"{GIFT_CARDS}/{created['id']}")).json() == patched


async def test_a_later_version_never_has_an_earlier_updated_at(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    await connection.execute("UPDATE gift_card SET updated_at = '2126-01-01T00:00:00Z'")
    patched = await client.patch(url, json={"name": "The second"})
    assert patched.json()["updated_at"] == "2126-01-01T00:00:00Z"


async def test_delete_answers_with_the_id_and_the_time_and_it_is_gone(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    created = await create_gift_card(client)
    response = await client.delete(f"{GIFT_CARDS}/{created['id']}")
    assert (response.status_code, response.json()["id"]) == (200, created["id"])
    assert datetime.fromisoformat(response.json()["deleted_at"]).tzinfo == UTC
    assert (await client.get(f"{GIFT_CARDS}/{created['id']}")).status_code == 404
    assert await connection.fetchval("SELECT count(*) FROM gift_card") == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_an_unknown_id_gets_404_for_every_method(client: httpx2.AsyncClient, method: str) -> None:
    body = {"PUT": gift_card_body(), "PATCH": {"name": "x"}}.get(method)
    response = await client.request(method, MISSING, json=body)
    assert (response.status_code, response.json()["code"]) == (404, "gift-card-not-found")


NOT_VALID: list[dict[str, Any]] = [
    {"name": ""},
    {"name": None},
    {"name": "x" * 129},
    {"name": "a\tb"},
    {"description": "x" * 1001},
    {"unknown": 1},
]


async def test_an_invalid_value_gets_422_which_names_the_field(client: httpx2.AsyncClient) -> None:
    url = f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}"
    for changes in NOT_VALID:
        created = await client.post(GIFT_CARDS, json=gift_card_body(**changes))
        replaced = await client.put(url, json=gift_card_body(**changes))
        patched = await client.patch(url, json=changes)
        for response in (created, replaced, patched):
            assert response.status_code == 422, f"{response.request.method} of {changes}: {response.text}"
            assert [error["loc"] for error in response.json()["errors"]] == [["body", *changes]]


async def test_an_empty_patch_gets_422(client: httpx2.AsyncClient) -> None:
    response = await client.patch(f"{GIFT_CARDS}/{(await create_gift_card(client))['id']}", json={})
    assert (response.status_code, response.json()["errors"][0]["loc"]) == (422, ["body"])


@pytest.mark.usefixtures("database_settings")
async def test_a_column_of_the_next_release_does_no_harm(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    created = await create_gift_card(client)
    await connection.execute("ALTER TABLE gift_card ADD COLUMN added integer")
    assert (await client.get(f"{GIFT_CARDS}/{created['id']}")).json() == created
    assert (await client.patch(f"{GIFT_CARDS}/{created['id']}", json={"name": "The second"})).status_code == 200
    assert (await client.get(GIFT_CARDS)).status_code == 200
    assert await create_gift_card(client)
