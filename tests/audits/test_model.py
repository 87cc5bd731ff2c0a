"""The service and a model of it run the same random sequences of requests, and must agree."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx2
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.audits.factories import AUDITS, audit_body
from tests.audits.test_cursor import walk

T = TypeVar("T")
Record = dict[str, Any]

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
INNER = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | TEXT
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "action": st.sampled_from(["invoice.update", "invoice.void", "user.login"]),
    "entity_id": TEXT,
    "actor_type": st.sampled_from(["user", "system", "service", "anonymous"]),
    "status": st.sampled_from(["success", "failure", "pending"]),
    "details": st.dictionaries(TEXT, INNER | st.lists(INNER, max_size=3), max_size=3),
    "occurred_at": st.sampled_from([f"2026-01-0{day}T00:00:00Z" for day in range(1, 4)]),
}
CHANGES = st.fixed_dictionaries({}, optional=FIELDS)
LIMITS = st.integers(1, 3)
NO_EVENT: Record = {"source": None, "event_id": None}
EVENT_IDS = st.sampled_from(["1", "2", "3"])
DEFAULTS: Record = {"actor_type": "user", "status": "success", "details": {}, "correlation_id": None}


def same(one: Any, other: Any) -> bool:
    """Compare numbers as doubles: jsonb makes 6.677e16 an integer, and Python would compare all its digits."""
    return bool(as_doubles(one) == as_doubles(other))


def as_doubles(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_int=float)


class AuditMachine(RuleBasedStateMachine):
    """`present` has the records that the list must show; `history` has the revisions that each record must have."""

    ids = Bundle("ids")
    client: httpx2.AsyncClient
    loop: asyncio.AbstractEventLoop
    examples = 0
    events: dict[str, tuple[Record, Record]]

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.run_id = f"example-{self.examples}"
        self.present: dict[str, Record] = {}
        self.history: dict[str, list[tuple[str, Record]]] = {}
        # Of each event: the content that was sent first, and the record as it was created.
        self.events = {}

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the event loop of the test. The machine itself runs in another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def send(self, method: str, path: str, body: Record | None = None) -> httpx2.Response:
        return self.wait(self.client.request(method, path, json=body))

    @rule(target=ids, changes=CHANGES)
    def create(self, changes: Record) -> str:
        body = audit_body(actor_id=self.run_id, **changes)
        response = self.send("POST", AUDITS, body)
        assert response.status_code == 201, response.text
        return self.expect_creation(body, response.json())

    def expect_creation(self, body: Record, record: Record) -> str:
        assert same(record, record | DEFAULTS | NO_EVENT | body | {"version": 1})
        self.present[record["id"]] = record
        self.history[record["id"]] = [("create", record)]
        if "event_id" in body:
            self.events[body["event_id"]] = (body, record)
        return str(record["id"])

    @rule(target=ids, event_id=EVENT_IDS, changes=CHANGES)
    def create_of_event(self, event_id: str, changes: Record) -> str | MultipleResults[str]:
        body = audit_body(actor_id=self.run_id, source=self.run_id, event_id=event_id, **changes)
        response = self.send("POST", AUDITS, body)
        if event_id not in self.events:
            assert response.status_code == 201, response.text
            return self.expect_creation(body, response.json())
        _, record = self.events[event_id]
        if self.is_repeat(body):
            assert (response.status_code, response.headers["Idempotency-Replayed"]) == (200, "true")
            assert response.json() == record
        else:
            assert (response.status_code, response.json()["code"]) == (409, "event-already-recorded")
        return multiple()

    def is_repeat(self, body: Record) -> bool:
        """Whether it has the content that was sent first; a body without `occurred_at` has the same time."""
        first, record = self.events[body["event_id"]]
        time = {"occurred_at": record["occurred_at"]}
        return same(DEFAULTS | first | time, DEFAULTS | time | body)

    @rule(target=ids, sent=st.lists(st.tuples(EVENT_IDS, CHANGES), min_size=1, max_size=3))
    def create_batch_of_events(self, sent: list[tuple[str, Record]]) -> MultipleResults[str]:
        items = [
            audit_body(actor_id=self.run_id, source=self.run_id, event_id=event_id, **changes)
            for event_id, changes in dict(sent).items()
        ]
        response = self.send("POST", f"{AUDITS}/batch", {"items": items})
        known = [item["event_id"] in self.events for item in items]
        conflicts = [at for at, item in enumerate(items) if known[at] and not self.is_repeat(item)]
        if conflicts:
            assert (response.status_code, response.json()["code"]) == (409, "event-already-recorded")
            assert [error["loc"] for error in response.json()["errors"]] == [["body", "items", at] for at in conflicts]
            return multiple()
        answer = response.json()
        assert response.status_code == (200 if all(known) else 201), response.text
        assert (answer["count"], answer["created"]) == (len(items), known.count(False))
        created = []
        for item, record, was_known in zip(items, answer["items"], known, strict=True):
            if was_known:
                assert record == self.events[item["event_id"]][1]
            else:
                created.append(self.expect_creation(item, record))
        return multiple(*created)

    @rule(audit_id=ids, changes=CHANGES)
    def patch(self, audit_id: str, changes: Record) -> None:
        response = self.send("PATCH", f"{AUDITS}/{audit_id}", changes)
        if not changes:
            assert response.status_code == 422
            return
        self.expect_change(audit_id, response, changes)

    @rule(audit_id=ids, changes=CHANGES)
    def put(self, audit_id: str, changes: Record) -> None:
        body = {"occurred_at": "2026-01-01T00:00:00Z"} | audit_body(actor_id=self.run_id, **changes)
        self.expect_change(audit_id, self.send("PUT", f"{AUDITS}/{audit_id}", body), DEFAULTS | body)

    def expect_change(self, audit_id: str, response: httpx2.Response, changes: Record) -> None:
        if audit_id not in self.present:
            assert response.status_code == 404
            return
        before, record = self.present[audit_id], response.json()
        assert response.status_code == 200, response.text
        made = {"version": before["version"] + 1, "updated_at": record["updated_at"]}
        assert same(record, before | changes | made)
        assert record["updated_at"] >= before["updated_at"]
        self.present[audit_id] = record
        self.history[audit_id].append(("update", record))

    @rule(audit_id=ids)
    def delete(self, audit_id: str) -> None:
        response = self.send("DELETE", f"{AUDITS}/{audit_id}")
        if audit_id not in self.present:
            assert response.status_code == 404
            return
        last = self.present.pop(audit_id)
        assert (response.status_code, response.json()["version"]) == (200, last["version"] + 1)
        self.history[audit_id].append(("delete", last))

    @rule(audit_id=ids)
    def read(self, audit_id: str) -> None:
        response = self.send("GET", f"{AUDITS}/{audit_id}")
        if audit_id in self.present:
            assert (response.status_code, response.json()) == (200, self.present[audit_id])
        else:
            assert response.status_code == 404

    @rule(audit_id=ids)
    def read_history(self, audit_id: str) -> None:
        revisions = self.wait(walk(self.client, f"{AUDITS}/{audit_id}/history", limit=2))
        told = [(revision["operation"], revision["record"]) for revision in reversed(revisions)]
        assert told == self.history[audit_id]
        assert [revision["version"] for revision in revisions] == list(range(len(told), 0, -1))

    @rule(
        order=st.sampled_from(["asc", "desc"]), status=st.lists(FIELDS["status"], max_size=2), limit=st.integers(1, 3)
    )
    def find(self, order: str, status: list[str], limit: int) -> None:
        query = {"actor_id": self.run_id, "order": order, "limit": limit} | ({"status": status} if status else {})
        found = self.wait(walk(self.client, AUDITS, **query))
        expected = [record for record in self.present.values() if not status or record["status"] in status]
        expected.sort(key=lambda record: (record["occurred_at"], record["id"]), reverse=order == "desc")
        assert found == expected


async def test_the_service_behaves_as_its_model_in_random_sequences(client: httpx2.AsyncClient) -> None:
    AuditMachine.client, AuditMachine.loop = client, asyncio.get_running_loop()
    # No shrinking, which takes minutes over HTTP: a failing sequence is printed as it was run.
    limits = settings(
        max_examples=40,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    await asyncio.to_thread(run_state_machine_as_test, AuditMachine, settings=limits)
