"""What is written in one turn of the event loop is sent together, in order, and soon."""

import asyncio
from typing import Any
from unittest.mock import ANY

import pytest
from starlette.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.server import ServerState

from src.config import AppSettings, FastPath
from src.web.connection import _PIECE_BYTES, BoundedProtocol
from src.web.server_config import ServerConfig
from src.web.transports import CORKED_BYTES
from tests.wire import head

ALL = frozenset(FastPath)
ANSWERS = {"/whole": [b"body"], "/stream": [b"one", b"two"], "/empty": [b""], "/long": [b"a" * CORKED_BYTES] * 2}


class Recorder(asyncio.Transport):
    """The client's side of a connection: what the server writes to it, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.has_closed = False
        self.unsent = 0

    @override
    def write(self, data: Any) -> None:
        # uvloop raises then.
        assert not self.has_closed
        self.written.append(bytes(data))

    @override
    def write_eof(self) -> None:
        pass

    @override
    def is_closing(self) -> bool:
        return self.has_closed

    @override
    def close(self) -> None:
        self.has_closed = True

    @override
    def get_write_buffer_size(self) -> int:
        return self.unsent

    @override
    def pause_reading(self) -> None:
        pass

    @override
    def resume_reading(self) -> None:
        pass


class Client:
    """Sends requests to the server's own protocol, whose application answers as `ANSWERS` says."""

    def __init__(self, parts: frozenset[FastPath] = ALL) -> None:
        self.transport = Recorder()
        self.goes_on = asyncio.Event()
        self.failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.failures.append(context))
        config = ServerConfig(
            self.answer,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.settings = AppSettings(fast_paths=parts)
        config.load()
        self.protocol = BoundedProtocol(config, ServerState(), {})
        self.protocol.connection_made(self.transport)

    async def answer(self, scope: Scope, _receive: Receive, send: Send) -> None:
        *pieces, last = ANSWERS[scope["path"]]
        size = sum(map(len, [*pieces, last]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", f"{size}".encode())]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await self.goes_on.wait()
        await send({"type": "http.response.body", "body": last})

    async def send(self, data: bytes) -> list[bytes]:
        """Send data, and return what the server has written when it has nothing more to do."""
        self.protocol.data_received(data)
        for _ in range(20):
            await asyncio.sleep(0)
        assert self.failures == []
        return self.transport.written

    def leave(self) -> None:
        self.transport.close()
        self.protocol.connection_lost(None)


def of(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def test_each_answer_is_one_write_pipelined_or_not() -> None:
    client = Client()
    assert await client.send(head("GET", "/whole")) == [of(b"body")]
    assert await client.send(head("GET", "/whole") * 3) == [of(b"body")] * 4
    assert await client.send(head("GET", "/empty") + head("GET", "/whole")) == [of(b"body")] * 4 + [
        of(b""),
        of(b"body"),
    ]
    client.leave()


async def test_each_piece_is_one_write_where_that_is_switched_off() -> None:
    client = Client(ALL - {FastPath.JOINED_WRITES})
    assert await client.send(head("GET", "/whole") * 2) == [of(b"body")[:-4], b"body"] * 2
    client.leave()


async def test_no_piece_waits_for_the_next_one_or_for_a_pipelined_request() -> None:
    client = Client()
    begun = of(b"onetwo")[:-3]
    assert await client.send(head("GET", "/stream")) == [begun]
    assert await client.send(head("GET", "/whole")) == [begun]
    client.goes_on.set()
    assert await client.send(b"") == [begun, b"two", of(b"body")]
    client.leave()


@pytest.mark.parametrize("parts", [ALL, frozenset[FastPath]()], ids=["all", "none"])
async def test_a_long_answer_is_sent_at_once_and_what_a_client_leaves_of_it_is_limited(
    parts: frozenset[FastPath],
) -> None:
    client = Client(parts)
    client.transport.unsent = 1
    client.goes_on.set()
    (*_, last) = await client.send(head("GET", "/long"))
    assert len(last) == CORKED_BYTES
    assert client.protocol._write_timer  # noqa: SLF001
    client.leave()


async def test_a_head_without_a_body_is_sent_before_what_refuses_a_malformed_request() -> None:
    """The malformed bytes are parsed when the answer to HEAD ends, and its head is held back then."""
    client = Client()
    client.protocol.data_received(head("GET", "/whole") + head("HEAD", "/whole"))
    # As long as what is parsed at once, so that it waits for its turn and the malformed bytes wait behind it.
    waiting = head("GET", "/whole", f"A: {'a' * (_PIECE_BYTES - len(head('GET', '/whole', 'A: ')))}")
    assert await client.send(waiting + b"BREW\r\n\r\n") == [of(b"body"), of(b"body")[:-4], ANY]
    assert client.transport.written[2].startswith(b"HTTP/1.1 400 ")
    client.leave()


async def test_a_client_that_leaves_before_a_held_head_is_sent_causes_no_error() -> None:
    client = Client()
    client.protocol.data_received(head("HEAD", "/whole"))
    asyncio.get_running_loop().call_soon(client.leave)
    assert await client.send(b"") == []


async def test_a_head_without_a_body_is_sent_by_itself() -> None:
    client = Client()
    assert await client.send(head("HEAD", "/whole")) == [of(b"body")[:-4]]
    client.leave()
