"""Once around with a client that was generated, `python with_GENERATOR.py URL NAME`: what it is answered, as JSON.

The same as tour.ts.
"""

import json
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Object = dict[str, Any]

URL, NAME = sys.argv[1:3]  # NAME tells the records of one tour from those of the others

_STATUSES = ("success", "failure", "failure", "pending", "pending")
_UNKNOWN = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Answer:
    """The status of an answer, and what it holds: with 304 nothing."""

    status: int
    data: Object


class Client(Protocol):
    def create(self, record: Object) -> Awaitable[Answer]: ...
    def create_batch(self, items: Sequence[Object], idempotency_key: str, mode: str) -> Awaitable[Answer]: ...
    def list(self, query: Object) -> Awaitable[Answer]: ...
    def read(self, audit_id: str, if_none_match: str) -> Awaitable[Answer]: ...
    def patch(self, audit_id: str, changes: Object, if_match: str) -> Awaitable[Answer]: ...
    def export_lines(self, query: Object) -> Awaitable[str]: ...


def _written(number: int) -> Object:
    entity = {"action": "invoice.update", "entity_type": "invoice", "entity_id": f"INV-{number}", "actor_id": NAME}
    return {**entity, "status": _STATUSES[number - 1], "details": {"tenant": f"t-{number % 2}"}}


def _held(answer: Answer) -> Object:
    assert answer.status < 300, answer
    return answer.data


def _refused(answer: Answer) -> list[Any]:
    errors = answer.data.get("errors") or [{"loc": None}]
    return [answer.status, answer.data["code"], errors[0]["loc"]]


def _outcome(item: Object) -> list[Any]:
    record = item.get("record")
    return [item["status"], record["entity_id"] if record else item["problem"]["code"]]


def _entities(page: Object) -> list[str]:
    return [item["entity_id"] for item in page["items"]]


async def tour(client: Client) -> None:
    created = [_held(await client.create(_written(number))) for number in range(1, 6)]
    audit_id = created[0]["id"]

    query = {"actor_id": [NAME], "status": ["failure", "pending"], "details": '{"tenant": "t-1"}'}
    found = _held(await client.list(query))

    pages = [_held(await client.list({"actor_id": [NAME], "limit": 2}))]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(_held(await client.list({"actor_id": [NAME], "limit": 2, "cursor": cursor})))

    patched = _held(await client.patch(audit_id, {"status": "failure"}, '"1"'))
    stale = await client.patch(audit_id, {"status": "pending"}, '"1"')
    unchanged = await client.read(audit_id, '"2"')
    missing = await client.read(_UNKNOWN, '"1"')
    wrong = await client.list({"limit": 51})

    batch = [_written(1), _written(2)]
    first, again = [_held(await client.create_batch(batch, NAME, "atomic")) for _ in range(2)]
    mixed = [_written(3), _written(4) | {"occurred_at": "2999-01-01T00:00:00Z"}]
    outcomes = _held(await client.create_batch(mixed, f"{NAME} partial", "partial"))["items"]
    lines = (await client.export_lines({"actor_id": [NAME]})).strip().split("\n")
    done = {
        "created": [[record["entity_id"], record["status"], record["version"]] for record in created],
        "found": _entities(found),
        "pages": [_entities(page) for page in pages],
        "patched": [patched["status"], patched["version"]],
        "stale": _refused(stale),
        "unchanged": unchanged.status,
        "missing": _refused(missing),
        "wrong": _refused(wrong),
        "batch": _entities(first),
        "replayed": first == again,
        "partial": [_outcome(item) for item in outcomes],
        "exported": [json.loads(line)["status"] for line in lines],
    }
    print(json.dumps(done))
