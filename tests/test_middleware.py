"""Request ids, trace ids and CORS."""

from uuid import UUID

import httpx2
import pytest

from tests.audits.factories import AUDITS

PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}


async def test_a_request_id_is_generated_and_returned(client: httpx2.AsyncClient) -> None:
    first, second = [(await client.get("/health/live")).headers["X-Request-ID"] for _ in range(2)]
    assert UUID(first).version == 7
    assert first != second


@pytest.mark.parametrize("offered", ["a", "A-1._z" * 21, "0" * 128])
async def test_a_well_formed_request_id_of_the_client_is_kept(client: httpx2.AsyncClient, offered: str) -> None:
    response = await client.get("/nope", headers={"X-Request-ID": offered})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == offered


@pytest.mark.parametrize("offered", ["", "0" * 129, "a b", 'a"}', "a/b", "é"])
async def test_any_other_request_id_is_replaced(client: httpx2.AsyncClient, offered: str) -> None:
    response = await client.get("/health/live", headers={b"X-Request-ID": offered.encode()})
    assert UUID(response.headers["X-Request-ID"]).version == 7


async def test_any_origin_may_call_without_credentials(client: httpx2.AsyncClient) -> None:
    preflight = await client.options(AUDITS, headers=PREFLIGHT | {"Access-Control-Request-Headers": "If-Match, X-Any"})
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "x-any" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    unusual = {"Access-Control-Request-Method": "BREW", "Access-Control-Request-Private-Network": "true"}
    assert (await client.options(AUDITS, headers=PREFLIGHT | unusual)).status_code == 200
    response = await client.get(AUDITS, headers={"Origin": "https://app.example", "Cookie": "a=b"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
