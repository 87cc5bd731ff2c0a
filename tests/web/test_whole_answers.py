"""A complete answer is one write, with the bytes that uvicorn would send for its messages."""

from typing import Any

import pytest
from fastapi import APIRouter, Response
from starlette.middleware import Middleware
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from src.config import AppSettings, FastPath
from src.web import compiled
from src.web.application import Application
from src.web.middleware import RequestMiddleware
from src.web.request_context import Fields
from src.web.responses import ShapedJSON
from src.web.whole_answers import send_by_server
from tests.web.test_transports import ALL, Client
from tests.wire import head

TAKEN: dict[str, tuple[int, Fields, tuple[str, ...]]] = {
    "usual": (200, [(b"content-type", b"application/json")], ()),
    "status": (404, [], ()),
    "header": (201, [(b"x-own", b"\xff\ta")], ()),
    "close": (200, [], ("Connection: close",)),
}
LEFT: dict[str, tuple[Fields, bytes]] = {
    "connection": ([(b"connection", b"close")], head("GET", "/")),
    "line-break": ([(b"location", b"/a\r\nx-forged: yes")], head("GET", "/")),
    "control": ([(b"location", b"/\x01")], head("GET", "/")),
    "http-1.0": ([], head("GET", "/").replace(b"HTTP/1.1", b"HTTP/1.0")),
    "body-not-there": ([], head("POST", "/", "Content-Length: 5")),
}


class Sender(Client):
    """Its application sends one answer as a whole, if it may and the server takes it, else as messages."""

    def __init__(self, fields: Fields, status: int = 200, *, as_whole: bool = True) -> None:
        super().__init__(ALL - {FastPath.JOINED_WRITES})
        self.fields, self.status, self.as_whole = [(b"content-length", b"4"), *fields], status, as_whole
        self.taken: list[bool] = []

    @override
    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.as_whole:
            self.taken.append(send_by_server(send, self.status, self.fields, b"body"))
            if self.taken[-1]:
                return
        await send({"type": "http.response.start", "status": self.status, "headers": self.fields})
        await send({"type": "http.response.body", "body": b"body"})


@pytest.mark.parametrize("name", TAKEN)
async def test_it_has_the_bytes_of_its_messages(name: str) -> None:
    status, fields, sent = TAKEN[name]
    whole, messages = Sender(fields, status), Sender(fields, status, as_whole=False)
    one, other = [await client.send(head("GET", "/", *sent)) for client in (whole, messages)]
    assert whole.taken == [True]
    assert [len(one), len(other)] == [1, 2]
    assert one == [b"".join(other)]
    assert whole.transport.has_closed == messages.transport.has_closed
    whole.leave()
    messages.leave()


@pytest.mark.parametrize("name", LEFT)
async def test_an_unusual_answer_is_left_to_uvicorn(name: str) -> None:
    fields, request = LEFT[name]
    whole, messages = Sender(fields), Sender(fields, as_whole=False)
    assert await whole.send(request) == await messages.send(request)
    assert whole.taken == [False]
    whole.leave()
    messages.leave()


async def test_the_next_request_comes_after_it() -> None:
    client = Sender([])
    assert len(await client.send(head("GET", "/") * 3)) == 3
    assert client.taken == [True] * 3
    client.leave()


async def test_it_is_left_while_the_client_does_not_read() -> None:
    client = Sender([])
    client.protocol.pause_writing()
    assert await client.send(head("GET", "/")) == []
    client.protocol.resume_writing()
    assert b"".join(await client.send(b"")).endswith(b"\r\n\r\nbody")
    assert client.taken == [False]
    client.leave()


class Unaware:
    """A middleware that looks at each message."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self.app, self.seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def look(message: Message) -> None:
            self.seen.append(message["type"])
            await send(message)

        await self.app(scope, receive, look)


class Served(Client):
    """Serves a compiled route behind our middleware, and behind others."""

    def __init__(self, parts: frozenset[FastPath], *outside: Middleware, inside: tuple[Middleware, ...] = ()) -> None:
        super().__init__(parts - {FastPath.JOINED_WRITES})
        ours = Middleware(RequestMiddleware, settings=AppSettings(fast_paths=parts), groups=(), exposed_headers=())
        self.app = Application(middleware=[*outside, ours, *inside], openapi_url=None)
        router = APIRouter()

        @router.get("/")
        async def read() -> Response:
            return ShapedJSON('{"a": 1}', headers={"etag": '"1"'})

        self.app.include_router(router)
        compiled.install(self.app)

    @override
    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def test_a_compiled_route_sends_its_answer_as_a_whole_where_that_is_switched_on() -> None:
    request = head("GET", "/", "X-Request-ID: a", "Origin: https://a.example")
    answers = []
    for parts, writes in ((ALL, 1), (ALL - {FastPath.WHOLE_ANSWERS}, 2)):
        client = Served(parts)
        answers.append(await client.send(request))
        assert len(answers[-1]) == writes
        client.leave()
    assert answers[0] == [b"".join(answers[1])]


@pytest.mark.parametrize("is_outside", [True, False])
async def test_another_middleware_sees_the_messages(is_outside: bool) -> None:
    seen: list[str] = []
    other = Middleware(Unaware, seen=seen)
    client = Served(ALL, other) if is_outside else Served(ALL, inside=(other,))
    assert len(await client.send(head("GET", "/"))) == 2
    assert seen == ["http.response.start", "http.response.body"]
    client.leave()


async def test_head_gets_no_body() -> None:
    client = Served(ALL)
    answer = b"".join(await client.send(head("HEAD", "/")))
    assert b"content-length: 8\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    client.leave()
