"""What an episode of the story consists of: records one after the other, and how they are changed later."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from src.audits.constants import ActorType, AuditStatus
from src.audits.schemas import AuditCreate, AuditPatch, AuditReplace

# Another story needs another name: an event is recorded once, with one content.
SOURCE = "urn:audit-trail:seed:1"
DAYS = timedelta(days=90)

_INCIDENT_DAYS_AGO = 20
_INCIDENT_AT, _INCIDENT_LASTS = time(9, 42, tzinfo=UTC), timedelta(minutes=130)
_SATURDAY, _WEEK = 5, timedelta(days=7)
_SERVICES = ("billing", "ci", "mailer", "webhooks")
_SYSTEMS = ("monitor", "scheduler")

Fields = dict[str, Any]
Draft = tuple[str, str, Any]
"""Who changes it, why, and what: the fields of a patch, `("whole", fields)` of a replacement, or None of a removal."""


@dataclass(frozen=True)
class Change:
    """A later version of a record. Without `record` the record is removed."""

    by: str
    reason: str
    record: AuditPatch | AuditReplace | None = None


@dataclass(frozen=True)
class Entry:
    """A record, and how it is changed after it was recorded."""

    record: AuditCreate
    changes: tuple[Change, ...] = ()


def to_entry(fields: Fields, drafts: tuple[Draft, ...]) -> Entry:
    """The record with its event, and its changes."""
    content = {name: value for name, value in fields.items() if name not in ("source", "event_id")}
    return Entry(AuditCreate(**fields), tuple(_change(content, *draft) for draft in drafts))


def _change(fields: Fields, by: str, reason: str, changed: Any) -> Change:
    if changed is None:
        return Change(by, reason)
    if isinstance(changed, tuple):
        return Change(by, reason, AuditReplace(**fields | changed[1]))
    return Change(by, reason, AuditPatch(**changed))


class Episode:
    """Some records that belong together. All chance depends on the number of the episode, and on nothing else."""

    def __init__(self, number: int, end: datetime) -> None:
        self.entries: list[tuple[Fields, tuple[Draft, ...]]] = []
        self.number, self.end = number, end
        self.chance = random.Random(f"{SOURCE} {number}")
        self.now = end - DAYS

    def move_before_end(self) -> None:
        """An episode that would end after the story takes place a week earlier."""
        if self.now > self.end:
            self.entries = [
                (fields | {"occurred_at": fields["occurred_at"] - _WEEK}, changes) for fields, changes in self.entries
            ]

    def add(
        self,
        action: str,
        entity_id: str,
        actor: str,
        details: Fields,
        status: AuditStatus = AuditStatus.SUCCESS,
        changes: tuple[Draft, ...] = (),
    ) -> None:
        fields = {
            "action": action,
            "entity_type": action.partition(".")[0],
            "entity_id": entity_id,
            "actor_type": _actor_type(actor),
            "actor_id": actor,
            "status": status,
            "details": details,
            "correlation_id": f"req-{self.number:05x}",
            "occurred_at": self.now,
        }
        self.entries.append((fields, changes))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(milliseconds=round(1000 * seconds * self.chance.uniform(0.5, 1.5)))

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def pick(self, prefix: str, number: int, skew: float = 1.8) -> str:
        """One of `number` ids, the first ones more often."""
        return f"{prefix}{1 + int(number * self.chance.random() ** skew)}"

    def begin_at_work(self) -> None:
        """A moment in working hours. The company grows: there are more of the later ones."""
        day = self.end
        for _ in range(3):
            day = self.end - DAYS * self.chance.random() ** 1.25
            if day.weekday() < _SATURDAY or self.happens(0.1):
                break
        hours = self.chance.triangular(6.5, 20, 10)
        self.now = datetime.combine(day, time(tzinfo=UTC)) + timedelta(seconds=round(3600 * hours, 3))
        if self.now > self.end:
            self.now -= _WEEK

    def begin_at_any_time(self) -> None:
        self.now = self.end - timedelta(seconds=round(DAYS.total_seconds() * self.chance.random() ** 1.25, 3))

    def begin_in_incident(self) -> None:
        self.now = self.incident_begins + timedelta(minutes=4) + (_INCIDENT_LASTS * 0.6) * self.chance.random()

    @property
    def incident_begins(self) -> datetime:
        day = self.end.date() - timedelta(days=_INCIDENT_DAYS_AGO)
        day -= timedelta(days=max(0, day.weekday() - _SATURDAY + 1))
        return datetime.combine(day, _INCIDENT_AT)

    def is_in_incident(self) -> bool:
        return self.incident_begins < self.now < self.incident_begins + _INCIDENT_LASTS * 0.62


def _actor_type(actor: str) -> ActorType:
    if actor in _SERVICES:
        return ActorType.SERVICE
    if actor in _SYSTEMS:
        return ActorType.SYSTEM
    return ActorType.ANONYMOUS if actor == "anonymous" else ActorType.USER
