"""Large bodies take almost no memory, and are refused before they have arrived completely."""

import asyncio
import time
from pathlib import Path

import pytest

from src.config import DatabaseSettings
from tests.application import HAS_PROC, run_server
from tests.audits.factories import AUDITS
from tests.wire import connect, head

JSON = "Content-Type: application/json"
SIZE = 100_000_000
PIECE = 64 * 1024
GROWTH = 20_000_000


def most_resident_bytes(pid: int) -> int:
    """Return the peak memory since the process started."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
@pytest.mark.parametrize("path", [AUDITS, f"{AUDITS}/batch"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest.mark.parametrize("filling", [b"a" * PIECE, b"{}," * (PIECE // 3)], ids=["text", "objects"])
async def test_a_body_of_100_mb_is_413_within_a_second_and_takes_little_memory(
    path: str, chunked: bool, filling: bytes, database_settings: DatabaseSettings
) -> None:
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
    piece = b"%x\r\n%s\r\n" % (len(filling), filling) if chunked else filling
    async with run_server(database_settings.database_url.get_secret_value()) as server:
        async with connect(server.url) as warm:
            await warm.send(head("POST", path, JSON, "Content-Length: 2") + b"[]")
            assert (await warm.answer()).status == 422
        before = server.resident_bytes()
        async with asyncio.timeout(30), connect(server.url) as connection:
            started = time.monotonic()
            await connection.send(head("POST", path, JSON, length) + (b"" if chunked else b'{"items": ['))

            async def send_all() -> None:
                for _ in range(SIZE // len(filling)):
                    await connection.send(piece)

            sending = asyncio.create_task(send_all())
            answer = await connection.answer()
            seconds = time.monotonic() - started
            await sending
        grown = most_resident_bytes(server.process.pid) - before
        print(f"\n413 after {seconds * 1000:.0f} ms, {grown / 1e6:.1f} MB more at the most")
        assert (answer.status, answer.json()["code"]) == (413, "payload-too-large")
        assert seconds < 1
        assert grown < GROWTH


@pytest.mark.parametrize("value", [b"{}", b"[]", b'""', b"0.5", b'{"":{}}'])
async def test_the_largest_body_of_small_values_takes_little_memory_and_time(
    value: bytes, database_settings: DatabaseSettings
) -> None:
    items = b",".join([value] * ((4 * 1024 * 1024 - 100) // (len(value) + 1)))
    body = b'{"items": [' + items + b"]}"
    async with run_server(database_settings.database_url.get_secret_value()) as server:
        async with connect(server.url) as connection:
            await connection.send(head("POST", f"{AUDITS}/batch", JSON, "Content-Length: 2") + b"[]")
            await connection.answer()
            before = server.resident_bytes()
            started = time.monotonic()
            await connection.send(head("POST", f"{AUDITS}/batch", JSON, f"Content-Length: {len(body)}") + body)
            answer = await connection.answer()
            seconds = time.monotonic() - started
        grown = most_resident_bytes(server.process.pid) - before
        print(f"\n4 MiB of {value.decode()}: {answer.status} after {seconds * 1000:.0f} ms, {grown / 1e6:.1f} MB more")
        assert answer.status == 422
        # Room for the text in pieces, the joined text, and the parsed values.
        assert grown < 60_000_000
        assert seconds < 1
