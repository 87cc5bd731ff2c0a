"""The limits of one connection: a client that sends or reads slowly or endlessly does not harm the others."""

import asyncio
import errno
import select
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from src.config import AppSettings
from src.web.index import ASSETS_PATH
from tests.application import HAS_PROC, Server, run_server
from tests.audits.factories import AUDITS
from tests.web.test_server import UNREACHABLE
from tests.wire import connect, head

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
LIVE = head("GET", "/health/live")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Server]:
    """A server with short timeouts."""
    async with run_server(
        UNREACHABLE, REQUEST_HEAD_TIMEOUT="0.4", REQUEST_BODY_TIMEOUT="0.4", RESPONSE_WRITE_TIMEOUT="0.4"
    ) as server:
        yield server


@pytest.mark.parametrize("sent", [b"", b"GET /health/li", LIVE[:-2], LIVE[:-2] + b"A: b"])
async def test_an_incomplete_head_is_408_after_the_timeout(server: Server, sent: bytes) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        await connection.send(sent)
        if sent:
            answer = await connection.answer()
            assert (answer.status, answer.json()["code"]) == (408, "request-incomplete")
            assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
        assert await connection.rest() == b""


@pytest.mark.parametrize("drop", [b"a", b"\r\n"])
async def test_a_connection_with_a_slow_head_is_closed(server: Server, drop: bytes) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        await connection.send(LIVE)
        assert (await connection.answer()).status == 200
        ended = asyncio.create_task(connection.rest())
        while not ended.done():
            await connection.send(drop)
            await asyncio.wait([ended], timeout=0.05)


@pytest.mark.parametrize("length", ["Content-Length: 100", CHUNKED])
async def test_a_slow_body_is_408_and_closes_the_connection(server: Server, length: str) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        await connection.send(head("POST", AUDITS, JSON, length, "Origin: https://app.example"))
        answering = asyncio.create_task(connection.answer())
        while not answering.done():
            await connection.send(b"1\r\n{\r\n" if length == CHUNKED else b"{")
            await asyncio.wait([answering], timeout=0.05)
        answer = await answering
        assert (answer.status, answer.json()["code"]) == (408, "request-incomplete")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers.get_all("Connection") == ["close"]
        await connection.rest()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\r\n" * 40_000, 431, "headers-too-large"),
        (b"GET /" + b"a" * 40_000, 414, "uri-too-long"),
        (head("GET", f"/{'a' * 9_000}"), 414, "uri-too-long"),
        (head("GET", f"/?{'a' * 9_000}"), 414, "uri-too-long"),
        (LIVE[:-2] + b"a: " + b"b" * 40_000, 431, "headers-too-large"),
        (LIVE[:-2] + b"a: b\r\n" * 10_000, 431, "headers-too-large"),
        (LIVE[:-2] + b"a: " + b"b" * 17_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (head("POST", AUDITS, JSON, CHUNKED, "Content-Length: 2") + b"{}", 400, "malformed-request"),
        (head("POST", AUDITS, JSON, "Content-Length: 2", CHUNKED) + b"{}", 400, "malformed-request"),
        (head("POST", AUDITS, JSON, "Content-Length: 2", "Content-Length: 2") + b"{}", 400, "malformed-request"),
        (head("POST", AUDITS, JSON, "Transfer-Encoding: chunked, identity") + b"{}", 400, "malformed-request"),
        (head("POST", AUDITS, JSON, CHUNKED) + b"x\r\n", 400, "malformed-request"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        (head("GET", "/health/live", "Host: b"), 400, "malformed-request"),
        (head("GET", "/health/live", "A : b"), 400, "malformed-request"),
        (head("GET", "/health/live", "A: b", " c"), 400, "malformed-request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed-request"),
        (b"GET /health/live\r\n\r\n", 400, "malformed-request"),
    ],
)
async def test_a_head_that_is_too_long_or_malformed_is_refused(
    server: Server, sent: bytes, status: int, code: str
) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        for piece in range(0, len(sent), 8_000):
            await connection.send(sent[piece : piece + 8_000])
            await asyncio.sleep(0)
        answer = await connection.answer()
        assert (answer.status, answer.json()["code"], answer.json()["status"]) == (status, code, status)
        assert answer.headers.get_all("Cache-Control") == ["no-store"]


async def test_trailers_are_ignored_and_limited(server: Server) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        body = head("POST", AUDITS, JSON, CHUNKED) + b"1\r\n[\r\n0\r\n"
        await connection.send(body + b"X-Request-ID: of-a-trailer\r\nContent-Type: text/plain\r\n\r\n")
        answer = await connection.answer()
        assert (answer.status, answer.json()["code"]) == (400, "malformed-json")
        await connection.send(body + b"A: " + b"b" * 600_000)
        answer = await connection.answer()
        assert (answer.status, answer.json()["code"]) == (431, "headers-too-large")
        assert answer.headers.get_all("Connection") == ["close"]
        assert await connection.rest() == b""


async def test_a_connection_whose_client_does_not_read_is_closed(server: Server) -> None:
    async with asyncio.timeout(5), connect(server.url) as connection:
        connection.stop_reading()
        await connection.send(head("GET", "/openapi.json") * 200)
        while not connection.writer.is_closing():
            await connection.send(b"\r\n")
            await asyncio.sleep(0.05)


async def test_an_http_1_0_client_gets_no_100_continue(server: Server) -> None:
    fields = f"POST {AUDITS} HTTP/1.0\r\n{JSON}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with asyncio.timeout(3), connect(server.url) as connection:
        # Send half of the body, so that the application asks for the rest.
        await connection.send(fields.encode() + b"{")
        assert (await connection.answer()).status == 408


async def test_an_unread_answer_ends_with_a_reset(server: Server) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as client:
        # The server must read all of this, so send one packet: closing with unread data would always cause a reset.
        client.sendall(head("GET", f"{ASSETS_PATH}/swagger-ui-bundle.js") * 20)
        broken = select.poll()
        broken.register(client, 0)
        assert await asyncio.to_thread(broken.poll, 5_000)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


LARGE = 5_000_000
EXPECT = "Expect: 100-continue"
NOT_READ = [
    (head("POST", AUDITS, JSON, f"Content-Length: {LARGE}"), 413),
    (head("POST", AUDITS, JSON, CHUNKED), 413),
    (head("POST", AUDITS, JSON, f"Content-Length: {LARGE}", EXPECT), 413),
    (head("POST", AUDITS, JSON, CHUNKED, EXPECT), 413),
    (head("POST", f"{AUDITS}/batch", JSON, f"Content-Length: {LARGE}"), 413),
    (head("PATCH", AUDITS, JSON, f"Content-Length: {LARGE}"), 405),
    (head("POST", "/nope", JSON, f"Content-Length: {LARGE}", EXPECT), 404),
    (head("POST", "/nope", JSON, CHUNKED), 404),
    (head("GET", "/health/live", f"Content-Length: {LARGE}"), 200),
    (head("GET", "/health/live", f"Content-Length: {LARGE}", EXPECT), 200),
    (head("GET", "/health/live", CHUNKED), 200),
    (head("GET", AUDITS + "?limit=51", f"Content-Length: {LARGE}"), 422),
    (head("HEAD", "/health/live", f"Content-Length: {LARGE}"), 200),
    (head("OPTIONS", AUDITS, "Origin: https://a", "Access-Control-Request-Method: GET", CHUNKED), 200),
    (head("GET", "/health/live", f"Content-Length: {LARGE}").replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
]


def body_of(sent: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (LARGE, b" " * LARGE) if CHUNKED.encode() in sent else b" " * LARGE


@pytest.mark.parametrize(("sent", "status"), NOT_READ)
async def test_an_answer_sent_before_the_body_arrived_is_received_and_closes_the_connection(
    server: Server, sent: bytes, status: int
) -> None:
    """The client reads nothing before it has sent everything, as most HTTP libraries do."""
    received = await asyncio.to_thread(send_all_then_read, server.url, sent, body_of(sent))
    # The server may have asked for the body with 100 Continue before it refused it.
    fields, _, body = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    assert int(fields.split()[1]) == status
    assert fields.lower().split(b"\r\n").count(b"connection: close") == 1
    assert b"HTTP/1.1" not in body


def send_all_then_read(url: str, sent: bytes, body: bytes) -> bytes:
    """Return all received bytes. Raises `ConnectionResetError` if the server does not close properly."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(sent)
        # In the same packet, the body could arrive before the server answers.
        time.sleep(0.02)
        client.sendall(body)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head("POST", "/nope", JSON, "Content-Length: 2") + b"{}", 404),
        (head("PATCH", AUDITS, JSON, "Content-Length: 2") + b"{}", 405),
        (head("POST", AUDITS, "Content-Length: 2") + b"{}", 415),
        (head("POST", AUDITS + "?a=b", JSON, CHUNKED) + b"2\r\n{}\r\n0\r\n\r\n", 422),
        (head("POST", AUDITS, JSON, "Content-Length: 1") + b"{", 400),
        (head("GET", "/health/live", "Content-Length: 2") + b"{}", 200),
    ],
)
async def test_a_connection_stays_open_when_the_whole_body_was_received(
    server: Server, sent: bytes, status: int
) -> None:
    async with asyncio.timeout(5), connect(server.url) as connection:
        for _ in range(2):
            await connection.send(sent)
            answer = await connection.answer()
            assert (answer.status, answer.headers["Connection"]) == (status, None)


@pytest.mark.parametrize("piece", [b" ", b" " * 100_000])
async def test_a_client_that_sends_after_its_last_answer_is_disconnected_in_time(server: Server, piece: bytes) -> None:
    async with asyncio.timeout(5), connect(server.url) as connection:
        await connection.send(head("POST", "/nope", "Content-Length: 100000000000"))
        assert (await connection.answer()).headers["Connection"] == "close"
        # The server ends its side at once, and closes the connection later.
        assert await connection.rest() == b""
        while not connection.writer.is_closing():
            await connection.send(piece)
            await asyncio.sleep(0.01)


async def test_a_client_that_sends_after_its_last_answer_is_disconnected_at_128_mib() -> None:
    async with asyncio.timeout(60), run_server(UNREACHABLE) as server, connect(server.url) as connection:
        await connection.send(head("POST", "/nope", "Content-Length: 100000000000"))
        await connection.answer()
        sent, started = 0, time.monotonic()
        while not connection.writer.is_closing():
            await connection.send(b" " * 1_000_000)
            sent += 1_000_000
        assert 128_000_000 < sent < 160_000_000
        assert time.monotonic() - started < AppSettings().request_body_timeout


async def test_a_body_with_a_too_large_content_length_is_413_without_100_continue(server: Server) -> None:
    async with asyncio.timeout(3), connect(server.url) as connection:
        await connection.send(head("POST", AUDITS, JSON, "Content-Length: 100000000", "Expect: 100-continue"))
        answer = await connection.answer()
        assert (answer.status, answer.headers["Connection"]) == (413, "close")


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_upgrade_header_is_ignored_and_the_body_is_read(server: Server, pieces: int) -> None:
    sent = head("POST", AUDITS, JSON, "Content-Length: 3", *H2C)
    async with asyncio.timeout(30), connect(server.url) as connection:
        if pieces == 2:
            await connection.send(sent)
            await asyncio.sleep(0.05)
            sent = b""
        await connection.send(sent + b"[1]" + head("GET", "/health/live", *H2C) * 2_000 + head("CONNECT", "/"))
        answer = await connection.answer()
        assert (answer.status, answer.json()["errors"][0]["type"]) == (422, "model_attributes_type")
        for _ in range(2_000):
            assert (await connection.answer()).status == 200
        assert (await connection.answer()).status == 405
        assert await connection.rest() == b""


async def test_a_refusal_never_interrupts_the_answers_of_earlier_pipelined_requests(server: Server) -> None:
    async with asyncio.timeout(5), connect(server.url) as connection:
        await connection.send(LIVE * 3 + b"BREW\r\n\r\n")
        assert (await connection.answer()).status == 400
        assert await connection.rest() == b""
    async with asyncio.timeout(5), connect(server.url) as connection:
        # More than the socket buffers can hold, so that an answer is in progress.
        await connection.send(head("GET", f"{ASSETS_PATH}/swagger-ui-bundle.js") * 20)
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(b"BREW\r\n\r\n")
        *answers, refusal = (await connection.rest()).split(b"HTTP/1.1 ")
        # The last of the 20 requests had not started when the server parsed the malformed bytes.
        assert [answer[:3] for answer in answers[1:]] == [b"200"] * 18
        assert {len(answer.partition(b"\r\n\r\n")[2]) for answer in answers[1:]} == {len(answers[0])}
        assert refusal[:3] == b"400"


@pytest.mark.parametrize(
    "wish", ["HTTP/1.0\r\nHost: a\r\nConnection: upgrade", "HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade"]
)
async def test_an_upgrade_header_is_ignored_on_a_connection_that_closes(server: Server, wish: str) -> None:
    async with asyncio.timeout(5), connect(server.url) as connection:
        await connection.send(f"GET /health/live {wish}\r\nUpgrade: h2c\r\n\r\n".encode())
        assert (await connection.answer()).status == 200
        assert await connection.rest() == b""


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
async def test_pipelined_requests_take_little_memory() -> None:
    async with asyncio.timeout(30), run_server(UNREACHABLE) as server, AsyncExitStack() as stack:
        before = server.resident_bytes()
        for _ in range(4):
            greedy = await stack.enter_async_context(connect(server.url))
            greedy.stop_reading()
            # The first answers exceed the socket buffers, so the other requests wait.
            await greedy.send(head("GET", f"{ASSETS_PATH}/swagger-ui-bundle.js") * 10 + head("GET", "/x") * 10_000)
        async with connect(server.url) as connection:
            await connection.send(LIVE)
            assert (await connection.answer()).status == 200
        assert server.resident_bytes() - before < 25_000_000


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    ask = head("POST", AUDITS, JSON, "Content-Length: 3") + b"[1]"
    async with asyncio.timeout(30), connect(server.url) as connection:
        await connection.send((LIVE + ask) * 1_000)
        for _ in range(1_000):
            assert [(await connection.answer()).status for _ in range(2)] == [200, 422]


async def test_a_head_without_a_body_is_sent_before_its_connection_closes(server: Server) -> None:
    async with asyncio.timeout(10), connect(server.url) as connection:
        await connection.send(head("HEAD", "/health/live", "Connection: close"))
        assert (await connection.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_two_deadlines_that_pass_at_once_are_one_problem_document() -> None:
    times = {"REQUEST_BODY_TIMEOUT": "0.3999", "REQUEST_TIMEOUT": "0.4", "DATABASE_POOL_TIMEOUT": "0.05"}
    times |= {
        "DATABASE_CONNECT_TIMEOUT": "0.05",
        "DATABASE_COMMAND_TIMEOUT": "0.2",
        "DATABASE_STATEMENT_TIMEOUT": "0.1",
    }
    times |= {"DATABASE_LOCK_TIMEOUT": "0.1", "PLACE_TIMEOUT": "0.1"}
    async with asyncio.timeout(30), run_server(UNREACHABLE, **times) as server:
        for _ in range(5):
            async with connect(server.url) as connection:
                await connection.send(head("POST", AUDITS, JSON, "Content-Length: 100") + b"{")
                answer = await connection.answer()
                assert answer.json()["code"] in ("request-incomplete", "request-timeout")
                assert answer.headers["X-Request-ID"]
        assert server.tracebacks() == ""


async def test_an_unused_connection_is_closed_after_the_keep_alive_timeout() -> None:
    async with run_server(UNREACHABLE, KEEP_ALIVE_TIMEOUT="1") as server, connect(server.url) as connection:
        await connection.send(LIVE)
        assert (await connection.answer()).status == 200
        started = time.monotonic()
        async with asyncio.timeout(20):
            assert await connection.rest() == b""
        assert time.monotonic() - started > 0.5


async def test_connections_above_the_limit_get_only_health_checks_and_are_closed() -> None:
    async with (
        run_server(UNREACHABLE, MAX_CONNECTIONS="1") as server,
        asyncio.timeout(5),
        connect(server.url) as first,
    ):
        await first.send(LIVE)
        assert (await first.answer()).status == 200
        for sent, status in (
            (LIVE, 200),
            (head("POST", AUDITS, JSON, "Content-Length: 1", "Origin: https://a") + b"[", 503),
        ):
            async with connect(server.url) as another:
                await another.send(sent)
                answer = await another.answer()
                assert (answer.status, answer.headers["Connection"]) == (status, "close")
                assert await another.rest() == b""
        assert (answer.json()["code"], answer.headers["Access-Control-Allow-Origin"]) == ("overloaded", "*")
        assert int(answer.headers["Retry-After"]) >= 1
        await first.send(head("GET", "/api/v1/ai/status"))
        assert (await first.answer()).status == 200


async def test_bad_connections_log_no_errors_and_the_service_still_answers(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/health/live")).status_code == 200
    assert [line for line in server.log() if line["level"] not in ("INFO", "WARNING")] == []
