"""Deadlines of many, with one timer and with one for each."""

import asyncio
from contextlib import suppress

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.config import AppSettings, FastPath
from src.web.deadlines import Deadlines, SeparateDeadlines
from src.web.middleware import RequestMiddleware

both_kinds = pytest.mark.parametrize("kind", [Deadlines, SeparateDeadlines])


class Waiting:
    def __init__(self, order: list["Waiting"] | None = None) -> None:
        self.expired = asyncio.Event()
        self._order = [] if order is None else order

    def expire(self, deadlines: Deadlines) -> None:
        assert not self.expired.is_set()
        self.expired.set()
        self._order.append(self)


@both_kinds
async def test_each_expires_in_the_order_of_its_deadline_and_once(kind: type[Deadlines]) -> None:
    deadlines = kind(0.05, asyncio.get_running_loop())
    order: list[Waiting] = []
    first, discarded, second = [Waiting(order) for _ in range(3)]
    deadlines.add(first)
    deadlines.add(discarded)
    deadlines.add(first)
    deadlines.discard(discarded)
    async with asyncio.timeout(10):
        await asyncio.sleep(0.01)
        deadlines.add(second)
        await first.expired.wait()
        await second.expired.wait()
    assert order == [first, second]
    # Nothing is left that could expire again.
    assert not any(value for value in vars(deadlines).values() if isinstance(value, dict))


@both_kinds
async def test_a_deadline_that_comes_after_all_others_have_gone_expires(kind: type[Deadlines]) -> None:
    deadlines = kind(0.01, asyncio.get_running_loop())
    for _ in range(2):
        waiting = Waiting()
        deadlines.add(waiting)
        async with asyncio.timeout(10):
            await waiting.expired.wait()


@both_kinds
async def test_none_expires_before_its_time(kind: type[Deadlines]) -> None:
    loop, deadlines, waiting = asyncio.get_running_loop(), kind(0.1, asyncio.get_running_loop()), Waiting()
    gone = Waiting()
    deadlines.add(gone)
    await asyncio.sleep(0.05)
    started = loop.time()
    deadlines.add(waiting)
    deadlines.discard(gone)
    async with asyncio.timeout(10):
        await waiting.expired.wait()
    assert loop.time() - started >= 0.1


@pytest.mark.parametrize("parts", [frozenset(FastPath), frozenset[FastPath]()], ids=["all", "none"])
def test_one_application_keeps_its_limits_in_one_event_loop_after_the_other(parts: frozenset[FastPath]) -> None:
    settings = AppSettings(
        fast_paths=parts,
        request_timeout=0.2,
        request_body_timeout=0.1,
        place_timeout=0.1,
        max_in_flight=1,
    )
    middleware = RequestMiddleware(answer, settings, groups=["/slow"], exposed_headers=[])

    async def ask_all() -> list[int]:
        paths = ["/quick", "/slow", "/slow"]
        statuses = await asyncio.gather(*(ask(middleware, path) for path in paths))
        # This one leaves a timer that is set.
        return [*statuses, await ask(middleware, "/quick")]

    for _ in range(2):
        loop = asyncio.new_event_loop()
        try:
            assert loop.run_until_complete(asyncio.wait_for(ask_all(), 10)) == [200, 504, 503, 200]
        finally:
            loop.close()


async def test_a_cancellation_by_somebody_else_ends_a_request_whose_deadline_has_passed_too() -> None:
    async def cancelled_twice(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            asking.cancel()

    statuses: list[int] = []
    asking = asyncio.create_task(ask(hasty(cancelled_twice), "/", statuses))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 10)
    assert statuses == []


async def test_a_deadline_answers_in_a_task_that_has_survived_a_cancellation() -> None:
    async def survive_and_ask() -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await ask(hasty(answer), "/slow")

    asking = asyncio.create_task(survive_and_ask())
    await asyncio.sleep(0)
    asking.cancel()
    assert await asyncio.wait_for(asking, 10) == 504


def hasty(app: ASGIApp) -> RequestMiddleware:
    """The middleware with a deadline that passes soon."""
    settings = AppSettings(request_timeout=0.05, request_body_timeout=0.04, place_timeout=0.04)
    return RequestMiddleware(app, settings, groups=[], exposed_headers=[])


async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["path"] == "/slow":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def ask(middleware: RequestMiddleware, path: str, statuses: list[int] | None = None) -> int:
    """Return the status of the answer, which is also added to `statuses`."""
    statuses = [] if statuses is None else statuses

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    head = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": None,
    }
    await middleware({**head, "headers": []}, receive, send)
    (status,) = statuses
    return status


def head(method: str, path: str) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }


async def test_a_rest_of_a_body_that_comes_while_the_answer_is_sent_sets_no_deadline() -> None:
    """Starlette asks for messages then, to learn that the client has left."""
    sent: list[str] = []

    async def stream(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        # Longer than the time for a body.
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async with asyncio.timeout(10):
        await hasty(stream)(head("GET", "/"), receive, send)
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_client_that_leaves_within_its_body_takes_no_place() -> None:
    """There is one, and a request holds it: the client would wait for it, and be refused although it has left."""
    left: list[str] = []
    sent: list[Message] = []
    held, leave = asyncio.Event(), asyncio.Event()

    async def hold(scope: Scope, receive: Receive, _send: Send) -> None:
        if scope["method"] == "POST":
            left.append((await receive())["type"])
            return
        held.set()
        await leave.wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    settings = AppSettings(max_in_flight=1, max_waiting=1)
    middleware = RequestMiddleware(hold, settings, groups=["/"], exposed_headers=[])
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(middleware(head("GET", "/"), receive, send))
        await held.wait()
        await middleware(head("POST", "/"), receive, send)
        leave.set()
    assert (left, sent) == (["http.disconnect"], [])
