"""The server as it is deployed: log, signals, start and stop."""

import asyncio
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime

import asyncpg
import httpx2
import pytest

from src.config import LOG_MAX_LINE_BYTES, PROJECT_ROOT, DatabaseSettings
from tests import programs
from tests.application import Log, run_application, run_server, start_server_process
from tests.audits.factories import AUDITS, audit_body
from tests.audits.test_list import INSERT_MANY
from tests.outages import children
from tests.wire import Connection, connect, head

UNREACHABLE = "postgresql://nobody@127.0.0.1:1/none"
COMMON = {"timestamp", "level", "logger", "message", "request_id", "trace_id"}
ACCESS = {"method", "path", "route", "status", "duration_ms", "bytes", "client"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET = "what nobody may see"


def access_lines(log: Log) -> Log:
    return [line for line in log if line["logger"] == "src.access"]


async def test_every_log_line_is_a_json_object_with_the_required_fields(
    database: DatabaseSettings,
) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "r-1"}
    url = database.database_url.get_secret_value()
    async with run_server(url) as server, httpx2.AsyncClient(base_url=server.url) as client:
        created = await client.post(AUDITS, json=audit_body(details={"note": SECRET}), headers=headers)
        path = created.headers["Location"]
        got, headed = await client.get(path, headers={"X-Forwarded-For": "203.0.113.7"}), await client.head(path)
        await client.get(f"/nope%0A%7B%22level%22:%22forged%22%7D?q={SECRET}")
        await client.post(AUDITS, content=SECRET, headers={"Content-Type": "application/json"})
        # Each %01 takes six bytes in a log line.
        await client.get("/" + "%01" * 2600)
    log = server.log()
    assert max(map(len, server.lines)) <= LOG_MAX_LINE_BYTES
    assert all(line.keys() >= COMMON for line in log)
    assert all(datetime.fromisoformat(line["timestamp"]).utcoffset() is not None for line in log)
    assert {"uvicorn.error", "src.access", "src.main"} <= {line["logger"] for line in log}
    lines = access_lines(log)
    assert all(line.keys() == COMMON | ACCESS for line in lines)
    assert (lines[0]["request_id"], lines[0]["trace_id"], lines[0]["status"]) == ("r-1", TRACE, 201)
    assert (lines[0]["method"], lines[0]["path"], lines[0]["bytes"]) == ("POST", AUDITS, len(created.content))
    assert (lines[1]["path"], lines[1]["route"]) == (path, f"{AUDITS}/{{audit_id}}")
    assert lines[1]["trace_id"] is None
    # FORWARDED_ALLOW_IPS is empty, so X-Forwarded-For is ignored.
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert [(line["method"], line["status"]) for line in lines] == [
        ("POST", 201), ("GET", 200), ("HEAD", 200), ("GET", 404), ("POST", 400), ("GET", 404),
    ]  # fmt: skip
    assert "characters left out" in lines[-1]["path"]
    assert (headed.content, headed.headers["Content-Length"]) == (b"", str(len(got.content)))
    assert (lines[1]["bytes"], lines[2]["bytes"]) == (len(got.content), 0)
    assert lines[3]["route"] is None
    assert not any(SECRET in line for line in server.lines)


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, "1"),
        (signal.SIGTERM, "2"),
        (signal.SIGINT, "1"),
        (signal.SIGINT, "2"),
        (signal.SIGHUP, "1"),
    ],
)
async def test_a_signal_stops_the_server_with_status_0(number: signal.Signals, workers: str) -> None:
    async with run_server(UNREACHABLE, WORKERS=workers) as server:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/health/live")).status_code == 200
        assert await server.stop(number) == 0


async def test_a_second_sigint_stops_workers_that_wait_for_a_client() -> None:
    times = {"REQUEST_BODY_TIMEOUT": "40", "REQUEST_TIMEOUT": "50", "GRACEFUL_SHUTDOWN_SECONDS": "60"}
    async with run_server(UNREACHABLE, WORKERS="2", **times) as server, connect(server.url) as slow:
        await slow.send(head("POST", AUDITS, "Content-Type: application/json", "Content-Length: 2") + b"{")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/health/live")).status_code == 200
        server.process.send_signal(signal.SIGINT)
        await server.line("Waiting for connections to close|Waiting for background tasks")
        assert await server.stop(signal.SIGINT) == 0


async def test_each_of_several_workers_leads_a_session_so_that_linux_gives_it_a_share_of_its_own() -> None:
    async with run_server(UNREACHABLE, WORKERS="2") as server:
        await server.line("Application startup complete", number=2)
        assert [os.getsid(pid) == pid for pid in children(server.process.pid)].count(True) == 2


async def test_new_connections_are_served_while_others_are_busy(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    await connection.execute(INSERT_MANY, 50)
    answers = 0
    is_busy = asyncio.Event()

    async def ask(client: Connection) -> None:
        await client.send(head("GET", f"{AUDITS}?limit=50"))
        assert (await client.answer()).status == 200

    async def ask_again_and_again() -> None:
        nonlocal answers
        async with connect(server.url) as client:
            while True:
                await ask(client)
                answers += 1
                if answers == 200:
                    is_busy.set()

    async def ask_once() -> None:
        async with connect(server.url) as client:
            await ask(client)

    async with run_server(database.database_url.get_secret_value(), PLACE_TIMEOUT="5") as server:
        busy = [asyncio.create_task(ask_again_and_again()) for _ in range(16)]
        await is_busy.wait()
        before = answers
        await asyncio.gather(*(ask_once() for _ in range(60)))
        answered_meanwhile = answers - before
        for task in busy:
            task.cancel()
        await asyncio.wait(busy)
    assert answered_meanwhile < 200


async def test_a_stop_finishes_requests_in_flight(database: DatabaseSettings) -> None:
    async with run_server(database.database_url.get_secret_value()) as server, connect(server.url) as idle:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps(audit_body()).encode()
        head = (
            f"POST {AUDITS} HTTP/1.1",
            "Host: a",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Expect: 100-continue",
        )
        writer.write("\r\n".join([*head, "", ""]).encode())
        assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.create_task(server.stop())
        # Idle connections are closed after a while, but not this one.
        assert await idle.rest() == b""
        writer.write(body)
        assert b"201 Created" in await reader.read()
        assert await stopping == 0
        writer.close()


async def test_a_stop_answers_requests_on_their_way_and_drops_incomplete_ones_without_errors() -> None:
    async with (
        run_server(UNREACHABLE, REQUEST_BODY_TIMEOUT="0.4") as server,
        connect(server.url) as connection,
        connect(server.url) as half,
        connect(server.url) as idle,
    ):
        await idle.send(head("GET", "/health/live"))
        assert "Connection" not in (await idle.answer()).headers
        await connection.send(head("POST", AUDITS, "Content-Type: application/json", "Content-Length: 9"))
        await half.send(head("POST", "/")[:10])
        stopping = asyncio.create_task(server.stop())
        await server.line("Waiting for connections to close")
        await idle.send(head("GET", "/health/live"))
        answer = await idle.answer()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert (await connection.answer()).status == 408
        assert await stopping == 0
        assert await idle.rest() == await half.rest() == b""
        assert {line["level"] for line in server.log()} <= {"INFO", "WARNING"}


async def test_a_stop_aborts_unfinished_answers_after_the_timeout(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    # More than the socket buffers can hold.
    await connection.execute(INSERT_MANY, 1_000)
    await connection.execute("UPDATE audit SET details = jsonb_build_object('note', repeat('x', 20000))")
    short = {"REQUEST_BODY_TIMEOUT": "0.2", "REQUEST_TIMEOUT": "0.9", "GRACEFUL_SHUTDOWN_SECONDS": "1"}
    limits = {"DATABASE_POOL_TIMEOUT": "0.1", "DATABASE_CONNECT_TIMEOUT": "0.2", "DATABASE_COMMAND_TIMEOUT": "0.5"}
    limits |= {"DATABASE_LOCK_TIMEOUT": "0.2", "DATABASE_STATEMENT_TIMEOUT": "0.4"}
    url = database.database_url.get_secret_value()
    async with run_server(url, **short, **limits) as server, connect(server.url) as reader:
        await reader.send(head("GET", f"{AUDITS}/export"))
        assert await reader.reader.readline() == b"HTTP/1.1 200 OK\r\n"
        reader.stop_reading()
        started = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - started < 5
        assert {line["level"] for line in server.log()} <= {"INFO", "WARNING"}


async def test_garbage_is_collected_when_the_application_has_started(database: DatabaseSettings) -> None:
    """`python -m src` starts without it."""
    gc.disable()
    try:
        async with run_application(database):
            assert gc.isenabled()
    finally:
        gc.enable()


async def test_a_port_in_use_fails_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start_server_process(UNREACHABLE, PORT=str(port))
        output, _ = await process.communicate()
        assert process.returncode not in (0, None)
        assert json.loads(output)["message"].startswith(
            f"cannot listen at 127.0.0.1, port {port} (HOST, PORT): Address already in"
        )


@pytest.mark.parametrize(
    ("proxies", "seen"), [("127.0.0.1", "203.0.113.7"), ("192.0.2.1, 198.51.100.0/24", "127.0.0.1"), ("", "127.0.0.1")]
)
async def test_x_forwarded_for_is_believed_of_a_configured_proxy_alone(proxies: str, seen: str) -> None:
    async with (
        run_server(UNREACHABLE, FORWARDED_ALLOW_IPS=proxies) as server,
        httpx2.AsyncClient(base_url=server.url) as client,
    ):
        await client.get("/health/live", headers={"X-Forwarded-For": "203.0.113.7"})
    assert [line["client"] for line in access_lines(server.log())] == [seen]


def test_a_closed_stdout_causes_no_logging_errors() -> None:
    command = (sys.executable, "-m", "src")
    environment = {**os.environ, "DATABASE_URL": UNREACHABLE, "PORT": "0"}
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout
        assert server.stderr
        while b"startup complete" not in server.stdout.readline():
            pass
        server.stdout.close()
        server.terminate()
        assert b"Logging error" not in server.stderr.read()


@pytest.mark.parametrize(
    ("hard", "connections"),
    [(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1000), (512, 256)],
    ids=["raised", "lowered"],
)
async def test_the_limit_of_open_files_is_raised_or_max_connections_is_lowered(hard: int, connections: int) -> None:
    fitted = await programs.run("tests.web.fitted", "512", str(hard))
    fitting, in_force = map(int, fitted.stdout.split())
    assert fitting == connections
    assert in_force >= connections + 256
    assert ("MAX_CONNECTIONS is 256 instead" in fitted.stderr) is (connections == 256)
