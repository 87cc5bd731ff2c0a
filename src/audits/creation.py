"""How records are created: those of one request by one statement, and none for an event that is recorded already.

The first attempt assumes that every event is new; if so, it is the only statement. If not, it writes nothing. Then the
events that are recorded are looked up, and the other records are tried again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError

from src import clock, identifiers
from src.audits import events, idempotency, statements
from src.audits.batch_schemas import AuditBatch
from src.audits.constants import FIRST_VERSION, MAX_ATTEMPTS, Operation
from src.audits.events import Event, FirstRecord
from src.audits.exceptions import DetailsTooLarge, EventAlreadyRecorded
from src.audits.idempotency import IdempotentRequest, Item
from src.audits.models import audit_event
from src.audits.revisions import Attribution, Revision, seal
from src.audits.schemas import Audit, AuditCreate
from src.database import AutocommitConnection, constraint_of
from src.exceptions import AppError, Overloaded
from src.statement import Statement

_ADVICE = "Others are recording the same events, or a trigger prevents it. Try again shortly."

_KEY_IS_NEW = idempotency.claim()
_CREATE_ONCE = Statement(
    statements.insert_records(exists(select(_KEY_IS_NEW.c.claimed))).add_cte(idempotency.CLEAR_EXPIRED)
)
"""Creates the records unless the idempotency key is taken."""

_CLAIM = Statement(select(_KEY_IS_NEW.c.claimed).add_cte(idempotency.CLEAR_EXPIRED))
"""Creates nothing, and returns a row unless the idempotency key is taken."""

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


@dataclass(frozen=True)
class Created:
    """One item for each record, in their order. `replayed` means that all of it is an earlier answer.

    `conflicts` are the positions of records whose event is recorded with other content. If there are any, nothing was
    created, and there are no items.
    """

    items: Sequence[Item]
    replayed: bool = False
    conflicts: Sequence[int] = ()

    @property
    def count(self) -> int:
        """How many records the request created; for a replay, the first one."""
        return sum(item.created for item in self.items)


class _Draft:
    """The records of one request by their positions in it, and what is known of their events."""

    def __init__(
        self,
        records: Mapping[int, AuditCreate],
        attribution: Attribution,
        sealed: Mapping[int, Revision] | None = None,
    ) -> None:
        """`sealed` are revisions of these records from an earlier draft."""
        self._records, self._attribution = records, attribution
        # For each record the position of the first one of the same event: that one is created.
        self._firsts: dict[int, int] = {}
        self._by_event: dict[Event, int] = {}
        self.conflicts: set[int] = set()
        for position, record in records.items():
            event = events.event_of(record)
            first = self._by_event.setdefault(event, position) if event else position
            self._firsts[position] = first
            if first != position and not events.is_repeat(record, records[first]):
                self.conflicts.add(position)
        self._revisions = _first_revisions(records, attribution, self._firsts.values(), sealed or {})
        self._known: dict[int, FirstRecord] = {}

    @property
    def revisions(self) -> dict[int, Revision]:
        """The revisions of the records that are to be created."""
        return {first: revision for first, revision in self._revisions.items() if first not in self._known}

    @property
    def events(self) -> dict[Event, str]:
        """The events that are not known, with the ids that their records are to have."""
        return {
            event: self._revisions[first].audit_id
            for event, first in self._by_event.items()
            if first not in self._known
        }

    def learn(self, found: dict[Event, FirstRecord]) -> None:
        """Remember the records that events have already. Sent records that differ from them are conflicts."""
        learned = {self._by_event[event]: record for event, record in found.items()}
        self._known |= learned
        recorded = {first: Audit.model_validate_json(record.json) for first, record in learned.items()}
        for position, first in self._firsts.items():
            if first not in recorded:
                continue
            if events.is_repeat(self._records[position], recorded[first]):
                self.conflicts.discard(position)
            else:
                self.conflicts.add(position)

    def repeats(self, firsts: Collection[int]) -> list[int]:
        """The positions of these records, and of those that repeat them."""
        return [
            position for position, first in self._firsts.items() if first in firsts and position not in self.conflicts
        ]

    def without(self, positions: Collection[int]) -> "_Draft":
        rest = {position: record for position, record in self._records.items() if position not in positions}
        return _Draft(rest, self._attribution, self._revisions)

    def items(self, created: Mapping[str, str]) -> dict[int, Item]:
        """The items of all but conflicts. `created`: the new records as JSON, empty before they are created."""
        items = {}
        for position, first in self._firsts.items():
            if position in self.conflicts:
                continue
            if known := self._known.get(first):
                items[position] = Item(known.id, known.json, created=False)
            else:
                audit_id = self._revisions[first].audit_id
                items[position] = Item(audit_id, created.get(audit_id, ""), created=first == position)
        return items


async def create_records(
    connection: AutocommitConnection,
    records: Sequence[AuditCreate],
    attribution: Attribution,
    idempotent: IdempotentRequest | None = None,
) -> Created:
    """Create all of the records, or none.

    An idempotency key is looked at before the events. Raises `IdempotencyKeyReused`, `Conflict`, `Overloaded`,
    and `sqlalchemy.exc.IntegrityError` if PostgreSQL refuses a record.
    """
    draft = _Draft(dict(enumerate(records)), attribution)
    for _ in range(MAX_ATTEMPTS):
        if not draft.conflicts and (created := await _attempt(connection, draft, {}, idempotent)) is not None:
            return Created([*draft.items(created).values()], replayed=not created)
        # If the key has expired since, there is no first answer, and the next attempt claims the key.
        if idempotent and (first := await idempotency.get_first_answer(connection, idempotent)):
            return Created(first, replayed=True)
        if draft.conflicts:
            return Created([], conflicts=sorted(draft.conflicts))
        if draft.events:
            draft.learn(await events.find(connection, draft.events))
    raise Overloaded(_ADVICE)


async def create_valid_records(
    connection: AutocommitConnection,
    batch: AuditBatch,
    attribution: Attribution,
    idempotent: IdempotentRequest | None,
    describe: Callable[[AppError], str],
) -> Created:
    """Create the valid records of a partial batch. `describe` writes, as JSON, the answer to an invalid one.

    Raises `IdempotencyKeyReused`, `Conflict`, `Overloaded`.
    """
    problems = {position: describe(error) for position, error in batch.refused.items()}
    valid = (position for position in range(len(batch.items) + len(problems)) if position not in problems)
    draft = _Draft(dict(zip(valid, batch.items, strict=True)), attribution)
    for _ in range(MAX_ATTEMPTS):
        refused = problems | _describe_conflicts(draft, describe)
        try:
            with statements.translate_size_check():
                created = await _attempt(connection, draft, refused, idempotent)
        except DetailsTooLarge as error:
            oversized = await _find_oversized_records(connection, draft)
            if not oversized:
                raise
            problems |= dict.fromkeys(oversized, describe(error))
            draft = draft.without(oversized)
            continue
        if created is not None:
            return Created(_with_problems(draft.items(created), refused))
        if idempotent and (first := await idempotency.get_first_answer(connection, idempotent)):
            return Created(first, replayed=True)
        if draft.events:
            draft.learn(await events.find(connection, draft.events))
    raise Overloaded(_ADVICE)


def _with_problems(items: dict[int, Item], problems: Mapping[int, str]) -> list[Item]:
    """The items of all positions, in their order."""
    refused = {position: Item(None, "", created=False, problem=text) for position, text in problems.items()}
    return [item for _, item in sorted((items | refused).items())] if refused else [*items.values()]


def _describe_conflicts(draft: _Draft, describe: Callable[[AppError], str]) -> dict[int, str]:
    """The answers to the records whose event is recorded with other content, by their positions."""
    if not draft.conflicts:
        return {}
    return dict.fromkeys(draft.conflicts, describe(EventAlreadyRecorded([("body",)])))


async def _find_oversized_records(connection: AutocommitConnection, draft: _Draft) -> list[int]:
    """The positions of the records whose details are too large, and of those that repeat them."""
    revisions = draft.revisions
    found = await find_oversized(connection, [each.record["details"] for each in revisions.values()])
    return draft.repeats([[*revisions][position] for position in found])


async def find_oversized(connection: AutocommitConnection, details: Sequence[Any]) -> list[int]:
    """The positions of the `details` that PostgreSQL finds too large."""
    numbers = await connection.fetch_column(statements.OVERSIZED_DETAILS, details=to_json(details).decode())
    return [number - 1 for number in numbers]


async def _attempt(
    connection: AutocommitConnection,
    draft: _Draft,
    problems: Mapping[int, str],
    idempotent: IdempotentRequest | None,
) -> dict[str, str] | None:
    """Create what is not known. Returns the created records as JSON; None if nothing was written."""
    revisions, new_events = draft.revisions, draft.events
    if not revisions:
        return {} if await _claim(connection, draft, problems, idempotent) else None
    parameters = statements.parameters([*revisions.values()])
    if new_events:
        parameters |= events.parameters(new_events)
    if idempotent:
        parameters |= idempotency.parameters(idempotent, _with_problems(draft.items({}), problems))
    try:
        rows = await connection.fetch(_statement(len(revisions), len(new_events), idempotent), **parameters)
    except IntegrityError as error:
        # Another request has recorded one of the events since this statement began.
        if constraint_of(error) != audit_event.primary_key.name:
            raise
        return None
    return {str(audit_id): record for record, audit_id in rows} or None


def _statement(records: int, new_events: int, idempotent: IdempotentRequest | None) -> Statement:
    if not new_events:
        return _CREATE_ONCE if idempotent else statements.CREATE
    if idempotent:
        return _CREATE_EVENTS_ONCE
    return _CREATE_EVENT if records == 1 else _CREATE_EVENTS


async def _claim(
    connection: AutocommitConnection,
    draft: _Draft,
    problems: Mapping[int, str],
    idempotent: IdempotentRequest | None,
) -> bool:
    """Keep the answer to a request that creates nothing. Returns False if its key is taken."""
    if idempotent is None:
        return True
    items = _with_problems(draft.items({}), problems)
    return bool(await connection.fetch(_CLAIM, **idempotency.parameters(idempotent, items)))


def _first_revisions(
    records: Mapping[int, AuditCreate], attribution: Attribution, firsts: Iterable[int], sealed: Mapping[int, Revision]
) -> dict[int, Revision]:
    """The revisions of the records at the positions `firsts`, by position: those that are `sealed`, or new ones."""
    now = clock.now()
    time = now.isoformat().replace("+00:00", "Z")
    times = {"occurred_at": time, "recorded_at": time, "updated_at": time}
    return {
        position: sealed.get(position)
        or seal(_new_record(records[position], times), Operation.CREATE, attribution, now, None)
        for position in dict.fromkeys(firsts)
    }


def _new_record(record: AuditCreate, times: dict[str, Any]) -> dict[str, Any]:
    """The record as the API serves it. What the caller sent is valid already."""
    return times | record.model_dump(mode="json") | {"id": identifiers.new_id(), "version": FIRST_VERSION}
