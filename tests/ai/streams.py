"""Helpers that request and read streams of the service."""

import json
from typing import Any

import httpx2

from tests.ai.application import RESPONSES

Events = list[tuple[str, Any]]


async def stream(client: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    return await client.post(f"{RESPONSES}/stream", json={"input": "Say something."} | body)


def read(answer: httpx2.Response) -> Events:
    """Return the name and the data of each event."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    found = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def names(events: Events) -> list[str]:
    return [name for name, _ in events]


def assert_error(events: Events, status: int, code: str) -> None:
    """The events are `start`, pieces, and last one `error` that holds a problem document."""
    assert names(events)[0] == "start"
    assert [name for name in names(events) if name in ("done", "error")] == ["error"] == names(events)[-1:]
    document = events[-1][1]
    assert (document["status"], document["code"]) == (status, code)
    assert document.keys() >= {"type", "title", "detail", "instance", "request_id", "retryable"}
