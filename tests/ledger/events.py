"""Reads server-sent events as a client does."""

import json
from collections.abc import AsyncIterator
from typing import Any


async def read_events(lines: AsyncIterator[str], number: int) -> list[dict[str, Any]]:
    """The next events, each with its id, its name and its item. Raises `StopAsyncIteration` at the end."""
    found: list[dict[str, Any]] = []
    fields: dict[str, str] = {}
    while len(found) < number:
        line = await anext(lines)
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            found.append({"id": int(fields["id"]), "event": fields["event"], "item": json.loads(fields["data"])})
            fields = {}
    return found
