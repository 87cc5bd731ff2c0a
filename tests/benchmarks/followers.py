"""Followers of the ledger that wait, in a process of their own: `PORT COUNT`. They leave when stdin is closed."""

import asyncio
import json
import re
import sys
from urllib.parse import quote

import uvloop

from src.config import API_PREFIX

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WAIT_SECONDS = 20


async def _follow(port: int, after: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        path = f"{API_PREFIX}/ledger/changes?after={quote(str(after))}&wait={_WAIT_SECONDS}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert found, head
        after = json.loads(await reader.readexactly(int(found[1])))["next_after"]


async def main() -> None:
    port, count, after = map(int, sys.argv[1:])
    tasks = [asyncio.create_task(_follow(port, after)) for _ in range(count)]
    left = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([left, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {left}:
        task.result()


if __name__ == "__main__":
    uvloop.run(main())
