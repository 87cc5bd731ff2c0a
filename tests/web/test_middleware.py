"""Request ids, trace ids, CORS, and the limits of requests."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse

from src.admission import patience
from src.config import AppSettings, DatabaseSettings
from src.web.waiting import leave_place
from tests.application import run_application
from tests.audits.factories import AUDITS

PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "PATCH"}


async def test_a_request_id_is_generated_and_returned(client_of_module: httpx2.AsyncClient) -> None:
    first, second = [(await client_of_module.get("/health/live")).headers["X-Request-ID"] for _ in range(2)]
    assert UUID(first).version == 7
    assert first != second


@pytest.mark.parametrize("offered", ["a", "A-1._z" * 21, "0" * 128])
async def test_a_well_formed_request_id_of_the_client_is_kept(
    client_of_module: httpx2.AsyncClient, offered: str
) -> None:
    response = await client_of_module.get("/nope", headers={"X-Request-ID": offered})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == offered


@pytest.mark.parametrize("offered", ["", "0" * 129, "a b", 'a"}', "a/b", "é"])
async def test_a_malformed_request_id_is_replaced(client_of_module: httpx2.AsyncClient, offered: str) -> None:
    response = await client_of_module.get("/health/live", headers={b"X-Request-ID": offered.encode()})
    assert UUID(response.headers["X-Request-ID"]).version == 7


async def test_any_origin_may_call_without_credentials(client_of_module: httpx2.AsyncClient) -> None:
    preflight = await client_of_module.options(
        AUDITS, headers=PREFLIGHT | {"Access-Control-Request-Headers": "If-Match, X-Any"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "x-any" in preflight.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    unusual = {"Access-Control-Request-Method": "BREW", "Access-Control-Request-Private-Network": "true"}
    assert (await client_of_module.options(AUDITS, headers=PREFLIGHT | unusual)).status_code == 200
    response = await client_of_module.get(AUDITS, headers={"Origin": "https://app.example", "Cookie": "a=b"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers


@asynccontextmanager
async def run_with(router: APIRouter, database: DatabaseSettings, **changes: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application with one more router, whose paths count for the limit of audits."""
    settings = AppSettings(**changes)
    async with run_application(settings, database, routers=[router]) as client:
        yield client


def add_held_route(router: APIRouter) -> tuple[asyncio.Event, asyncio.Event]:
    """Add `GET /held`, which sets the first event when a request has its place, and keeps it until the second."""
    entered, leave = asyncio.Event(), asyncio.Event()

    @router.get("/held")
    async def held() -> None:
        entered.set()
        await leave.wait()

    return entered, leave


async def test_a_late_answer_is_504_but_one_that_has_begun_may_take_longer(
    database: DatabaseSettings,
) -> None:
    router = APIRouter(prefix=AUDITS)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.4)
        yield b"b"

    @router.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    @router.get("/slow")
    async def slow() -> StreamingResponse:
        return StreamingResponse(slowly())

    changes = {"request_timeout": 0.2, "request_body_timeout": 0.1, "place_timeout": 0.1}
    async with asyncio.timeout(10), run_with(router, database, **changes) as client:
        response = await client.get(f"{AUDITS}/never", headers={"Origin": "https://app.example"})
        assert (response.status_code, response.json()["code"]) == (504, "request-timeout")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await client.get(f"{AUDITS}/slow")).content == b"ab"


async def test_requests_above_the_limit_are_503_and_other_groups_are_served(
    database: DatabaseSettings,
) -> None:
    router, entered, leave = APIRouter(prefix=AUDITS), asyncio.Semaphore(0), asyncio.Event()

    @router.post("/held")
    async def held(request: Request) -> None:
        await request.body()
        entered.release()
        await leave.wait()

    async def body_after(signal: asyncio.Event) -> AsyncIterator[bytes]:
        await signal.wait()
        yield b""

    signals = [asyncio.Event() for _ in range(5)]
    async with asyncio.timeout(10), run_with(router, database, max_in_flight=2) as client:
        slow = [asyncio.create_task(client.post(f"{AUDITS}/held", content=body_after(signal))) for signal in signals]
        holders = [asyncio.create_task(client.post(f"{AUDITS}/held")) for _ in range(2)]
        for _ in holders:
            await entered.acquire()
        response = await client.get(AUDITS)
        assert (response.status_code, response.json()["code"]) == (503, "overloaded")
        assert int(response.headers["Retry-After"]) >= 1
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/api/v1/ai/status")).status_code == 200
        leave.set()
        assert {(await holder).status_code for holder in holders} == {200}
        for signal, request in zip(signals, slow, strict=True):
            signal.set()
            assert (await request).status_code == 200
        assert (await client.get(AUDITS)).status_code == 200


async def test_some_requests_wait_for_a_place_and_the_rest_are_refused(
    database: DatabaseSettings,
) -> None:
    router = APIRouter(prefix=AUDITS)
    entered, leave = add_held_route(router)

    limits = {"max_in_flight": 1, "max_waiting": 1, "place_timeout": 5}
    async with asyncio.timeout(10), run_with(router, database, **limits) as client:
        holder = asyncio.create_task(client.get(f"{AUDITS}/held"))
        await entered.wait()
        others = [asyncio.create_task(client.get(AUDITS)) for _ in range(2)]
        (refused,), (waiting,) = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        response = await refused
        assert (response.status_code, response.json()["code"]) == (503, "overloaded")
        leave.set()
        assert [(await request).status_code for request in (holder, waiting)] == [200, 200]


async def test_a_request_that_has_waited_for_its_place_waits_less_for_a_connection(
    database: DatabaseSettings,
) -> None:
    router = APIRouter(prefix=AUDITS)
    entered, leave = add_held_route(router)

    @router.get("/patience")
    async def read_patience() -> str:
        return str(patience.get())

    @router.post("/patience")
    async def read_patience_with_body(request: Request) -> str:
        await request.body()
        return str(patience.get())

    @router.get("/left")
    async def read_patience_without_place(request: Request) -> str:
        leave_place(request)
        return str(patience.get())

    path, context = f"{AUDITS}/patience", copy_context()
    async with asyncio.timeout(30), run_with(router, database, max_in_flight=1, place_timeout=8) as client:
        assert (await client.get(path)).json() == (await client.post(path)).json() == "1"
        holder = asyncio.create_task(client.get(f"{AUDITS}/held"))
        await entered.wait()
        waiting = [
            asyncio.create_task(client.get(path), context=context),
            asyncio.create_task(client.post(path)),
            asyncio.create_task(client.get(f"{AUDITS}/left")),
        ]
        # All three wait for a place by then: nothing on their way takes real time.
        for _ in range(100):
            await asyncio.sleep(0)
        leave.set()
        waited, waited_with_body, left = [(await answer).json() for answer in waiting]
        await holder
        # In the context of one that has waited, as a pipelined request is.
        went_on = (await asyncio.create_task(client.get(path), context=context)).json()
    assert 0 <= float(waited) < 1
    assert 0 <= float(waited_with_body) < 1
    assert (left, went_on) == ("1", "1")


async def test_waiting_for_a_place_counts_against_the_deadline(database: DatabaseSettings) -> None:
    router = APIRouter(prefix=AUDITS)
    entered, leave = add_held_route(router)

    @router.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    limits = {"max_in_flight": 1, "place_timeout": 1.9, "request_timeout": 2, "request_body_timeout": 1}
    async with asyncio.timeout(10), run_with(router, database, **limits) as client:
        holder = asyncio.create_task(client.get(f"{AUDITS}/held"))
        await entered.wait()
        asyncio.get_running_loop().call_later(1.2, leave.set)
        started = time.monotonic()
        response = await client.get(f"{AUDITS}/never")
        assert (response.status_code, response.json()["code"]) == (504, "request-timeout")
        assert time.monotonic() - started < 2.8
        assert (await holder).status_code == 200


async def test_an_error_after_a_complete_answer_does_not_break_it(
    database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter(prefix=AUDITS)

    async def lost_at_the_end() -> AsyncIterator[None]:
        yield
        raise ConnectionResetError("lost")

    @router.get("/whole", dependencies=[Depends(lost_at_the_end)])
    async def whole() -> str:
        return "whole"

    async with run_with(router, database) as client:
        assert (await client.get(f"{AUDITS}/whole")).json() == "whole"
    assert "database-unavailable: ConnectionResetError: lost" in caplog.text
