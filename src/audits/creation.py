"""How records are created: the records of one request by one statement, those of known events not again.

The first attempt takes every event for new, which costs nothing more where it is. If one is not, the statement writes
nothing; what is known is looked up, and the others are tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError

from src import clock
from src.audits import events, idempotency, statements
from src.audits.constants import FIRST_VERSION, Operation
from src.audits.events import Event, FirstRecord
from src.audits.idempotency import IdempotentRequest
from src.audits.models import audit_event
from src.audits.revisions import Attribution, Revision, seal
from src.audits.schemas import Audit, AuditCreate
from src.database import AutocommitConnection
from src.identifiers import new_id
from src.statement import Statement

_KEY_IS_NEW = idempotency.claim()
_CREATE_ONCE = Statement(
    statements.insert_records(exists(select(_KEY_IS_NEW.c.claimed))).add_cte(idempotency.CLEAR_EXPIRED)
)
"""Creates the records unless the idempotency key is taken."""

_CREATE_EVENT = Statement(statements.insert_records(events.IS_NEW))
"""Creates one record unless its event is recorded."""

_CREATE_EVENTS = Statement(statements.insert_records(events.ARE_NEW).add_cte(events.insertion(events.ARE_NEW)))
"""Creates the records unless one of their events is recorded."""

_ALL_IS_NEW = idempotency.claim(events.ARE_NEW)
_is_all_new = exists(select(_ALL_IS_NEW.c.claimed))
_CREATE_EVENTS_ONCE = Statement(
    statements.insert_records(_is_all_new).add_cte(events.insertion(_is_all_new), idempotency.CLEAR_EXPIRED)
)
"""Creates the records unless the idempotency key is taken, or one of their events is recorded."""


class Item(NamedTuple):
    """What one record of a request was answered with: the record in its first version, as JSON.

    `created` is false if an earlier record of the same event was there.
    """

    id: UUID
    record: str
    created: bool


@dataclass(frozen=True)
class Created:
    """One item for each record, in their order. `replayed` means that all of it is an earlier answer.

    `conflicts` are the positions of records whose event has another content. If there are any, nothing was created, and
    there are no items.
    """

    items: Sequence[Item]
    replayed: bool = False
    conflicts: Sequence[int] = ()

    @cached_property
    def count(self) -> int:
        """How many records the request created; for a replay, the first one."""
        return sum(item.created for item in self.items)


class _Draft:
    """The records of one request, and what is known of their events."""

    def __init__(self, records: Sequence[AuditCreate], attribution: Attribution) -> None:
        self._records = records
        # For each record the position of the first one of the same event: that one is created.
        self._firsts: list[int] = []
        self._by_event: dict[Event, int] = {}
        self.conflicts: list[int] = []
        for position, record in enumerate(records):
            event = events.event_of(record)
            first = self._by_event.setdefault(event, position) if event else position
            self._firsts.append(first)
            if first != position and not events.is_repeat(record, records[first]):
                self.conflicts.append(position)
        self._revisions = _first_revisions(records, attribution, self._firsts)
        self._known: dict[int, FirstRecord] = {}

    @property
    def revisions(self) -> list[Revision]:
        """The revisions of the records that are to be created."""
        return [revision for first, revision in self._revisions.items() if first not in self._known]

    @property
    def events(self) -> dict[Event, UUID]:
        """The events that are not known, with the ids that their records are to have."""
        return {
            event: self._revisions[first].audit_id
            for event, first in self._by_event.items()
            if first not in self._known
        }

    def learn(self, found: dict[Event, FirstRecord]) -> None:
        """Take the records that are there already. Those that differ are conflicts."""
        for event, record in found.items():
            self._known[self._by_event[event]] = record
        recorded = {first: Audit.model_validate_json(record.json) for first, record in self._known.items()}
        self.conflicts += [
            position
            for position, first in enumerate(self._firsts)
            if first in recorded and not events.is_repeat(self._records[position], recorded[first])
        ]

    def items(self, created: dict[UUID, str]) -> list[Item]:
        """The items, once all records are there. `created` are the new ones as JSON; it may leave out their JSON."""
        items = []
        for position, first in enumerate(self._firsts):
            if known := self._known.get(first):
                items.append(Item(known.id, known.json, created=False))
            else:
                audit_id = self._revisions[first].audit_id
                items.append(Item(audit_id, created.get(audit_id, ""), created=first == position))
        return items


async def create_records(
    connection: AutocommitConnection,
    records: Sequence[AuditCreate],
    attribution: Attribution,
    idempotent: IdempotentRequest | None = None,
) -> Created:
    """Create all of the records, or none.

    An idempotency key is looked at before the events. Raises `IdempotencyKeyReused`, `Conflict`, and
    `sqlalchemy.exc.IntegrityError` if PostgreSQL refuses a record.
    """
    draft = _Draft(records, attribution)
    while True:
        if not draft.conflicts and (created := await _attempt(connection, draft, idempotent)) is not None:
            return Created(draft.items(created), replayed=not created)
        # If the key has expired since, there is no first answer, and the next attempt claims the key.
        if idempotent and (first := await idempotency.get_first_answer(connection, idempotent)):
            return Created([Item(*item) for item in first], replayed=True)
        if draft.conflicts:
            return Created([], conflicts=sorted({*draft.conflicts}))
        if draft.events:
            draft.learn(await events.find(connection, draft.events))


async def _attempt(
    connection: AutocommitConnection, draft: _Draft, idempotent: IdempotentRequest | None
) -> dict[UUID, str] | None:
    """Create what is not known. Returns the created records as JSON; None if nothing was written.

    Also None if only the idempotency key was written, since every event is known: it has the answer.
    """
    revisions, new_events = draft.revisions, draft.events
    if not revisions and idempotent is None:
        return {}
    parameters = statements.parameters(revisions)
    if new_events:
        parameters |= events.parameters(new_events)
    if idempotent:
        items = draft.items({})
        created = [item.created for item in items]
        parameters |= idempotency.parameters(idempotent, [item.id for item in items], None if all(created) else created)
    try:
        rows = await connection.fetch(_statement(len(revisions), len(new_events), idempotent), **parameters)
    except IntegrityError as error:
        # Another request has recorded one of the events since this statement began.
        if getattr(error.driver_exception, "constraint_name", None) != audit_event.primary_key.name:
            raise
        return None
    return {audit_id: record for record, audit_id in rows} or None


def _statement(records: int, new_events: int, idempotent: IdempotentRequest | None) -> Statement:
    if not new_events:
        return _CREATE_ONCE if idempotent else statements.CREATE
    if idempotent:
        return _CREATE_EVENTS_ONCE
    return _CREATE_EVENT if records == 1 else _CREATE_EVENTS


def _first_revisions(
    records: Sequence[AuditCreate], attribution: Attribution, firsts: Sequence[int]
) -> dict[int, Revision]:
    """The revisions of the records at the positions `firsts`, by position."""
    now = clock.now()
    time = now.isoformat().replace("+00:00", "Z")
    times = {"occurred_at": time, "recorded_at": time, "updated_at": time}
    return {
        position: seal(_new_record(records[position], times), Operation.CREATE, attribution, now, None)
        for position in dict.fromkeys(firsts)
    }


def _new_record(record: AuditCreate, times: dict[str, Any]) -> dict[str, Any]:
    """The record as the API serves it. What the caller sent is valid already."""
    return times | record.model_dump(mode="json") | {"id": str(new_id()), "version": FIRST_VERSION}
