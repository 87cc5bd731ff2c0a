"""The story that `make seed` tells: ninety days of a small company that sends invoices.

It is a sequence of episodes, such as the session of a user or a deployment. What an episode tells depends on its number
and on the end of the story alone. So a longer trail begins with the records of a shorter one.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

from src.audits.constants import ActorType, AuditStatus
from src.audits.schemas import AuditCreate, AuditPatch, AuditReplace

# Another story needs another name: an event is recorded once, with one content.
SOURCE = "urn:audit-trail:seed:1"
DAYS = timedelta(days=90)

_SUCCESS, _FAILURE, _PENDING = AuditStatus
_INCIDENT_DAYS_AGO = 20
_INCIDENT_AT, _INCIDENT_LASTS = time(9, 42, tzinfo=UTC), timedelta(minutes=130)
_SATURDAY, _WEEK = 5, timedelta(days=7)
_INCIDENT = "INC-7"
_ADMINISTRATORS = ("u-4", "u-9")
_SERVICES = ("billing", "ci", "mailer", "webhooks")
_SYSTEMS = ("monitor", "scheduler")
_DEPLOYED = ("billing", "mailer", "portal", "webhooks")
_ROLES = ("accountant", "auditor", "support", "administrator")


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


def tell(end: datetime) -> Iterator[Entry]:
    """The entries of the story. The first one occurred `DAYS` before its end, so that it tells the end."""
    numbers = count(1)
    for number in count():
        for fields, changes in _Episode(number, end).entries:
            event = {"source": SOURCE, "event_id": str(next(numbers))}
            yield Entry(AuditCreate(**fields, **event), tuple(_change(fields, *change) for change in changes))


_Fields = dict[str, Any]
_Draft = tuple[str, str, Any]
"""Who changes it, why, and what: the fields of a patch, `("whole", fields)` of a replacement, or None of a removal."""


def _change(fields: _Fields, by: str, reason: str, changed: Any) -> Change:
    if changed is None:
        return Change(by, reason)
    if isinstance(changed, tuple):
        return Change(by, reason, AuditReplace(**fields | changed[1]))
    return Change(by, reason, AuditPatch(**changed))


class _Episode:
    def __init__(self, number: int, end: datetime) -> None:
        self.entries: list[tuple[_Fields, tuple[_Draft, ...]]] = []
        self._number, self._end = number, end
        self._chance = random.Random(f"{SOURCE} {number}")
        self._time = end - DAYS
        if number < len(_OPENING):
            _OPENING[number](self)
            return
        (kind,) = self._chance.choices([*_KINDS], [*_KINDS.values()])
        kind(self)
        if self._time > end:
            # An episode that would end after the story takes place a week earlier.
            self.entries = [
                (fields | {"occurred_at": fields["occurred_at"] - _WEEK}, changes) for fields, changes in self.entries
            ]

    def _add(
        self,
        action: str,
        entity_id: str,
        actor: str,
        details: _Fields,
        status: AuditStatus = _SUCCESS,
        changes: tuple[_Draft, ...] = (),
    ) -> None:
        fields = {
            "action": action,
            "entity_type": action.partition(".")[0],
            "entity_id": entity_id,
            "actor_type": _actor_type(actor),
            "actor_id": actor,
            "status": status,
            "details": details,
            "correlation_id": f"req-{self._number:05x}",
            "occurred_at": self._time,
        }
        self.entries.append((fields, changes))

    def _wait(self, seconds: float) -> None:
        self._time += timedelta(milliseconds=round(1000 * seconds * self._chance.uniform(0.5, 1.5)))

    def _is(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _pick(self, prefix: str, number: int, skew: float = 1.8) -> str:
        """One of so many ids, the first ones more often."""
        return f"{prefix}{1 + int(number * self._chance.random() ** skew)}"

    def _begin_at_work(self) -> None:
        """A moment in working hours. The company grows: there are more of the later ones."""
        day = self._end
        for _ in range(3):
            day = self._end - DAYS * self._chance.random() ** 1.25
            if day.weekday() < _SATURDAY or self._is(0.1):
                break
        hours = self._chance.triangular(6.5, 20, 10)
        self._time = datetime.combine(day, time(tzinfo=UTC)) + timedelta(seconds=round(3600 * hours, 3))
        if self._time > self._end:
            self._time -= _WEEK

    def _begin_at_any_time(self) -> None:
        self._time = self._end - timedelta(seconds=round(DAYS.total_seconds() * self._chance.random() ** 1.25, 3))

    def _begin_in_incident(self) -> None:
        self._time = self._incident + timedelta(minutes=4) + (_INCIDENT_LASTS * 0.6) * self._chance.random()

    @property
    def _incident(self) -> datetime:
        day = self._end.date() - timedelta(days=_INCIDENT_DAYS_AGO)
        day -= timedelta(days=max(0, day.weekday() - _SATURDAY + 1))
        return datetime.combine(day, _INCIDENT_AT)

    def _is_in_incident(self) -> bool:
        return self._incident < self._time < self._incident + _INCIDENT_LASTS * 0.62

    def beginning(self) -> None:
        self._add("service.start", "billing", "ci", {"release": "2.0.0", "region": "eu-1"})

    def incident(self) -> None:
        self._time = self._incident
        release = {"service": "billing", "release": "2.14.0", "commit": "9f2c1ab"}
        self._add("deploy.start", "billing", "ci", release)
        self._time += timedelta(seconds=95)
        self._add("deploy.finish", "billing", "ci", release | {"seconds": 95})
        self._time += timedelta(minutes=6)
        alert = {"rule": "payments-failing", "threshold": 0.05, "measured": 0.82, "window_minutes": 5}
        self._add("alert.raise", "payments-failing", "monitor", alert, _FAILURE)
        self._time += timedelta(seconds=4)
        removal = ("u-9", "the alert was recorded twice", None)
        self._add("alert.raise", "payments-failing", "monitor", alert, _FAILURE, (removal,))
        self._time += timedelta(minutes=3)
        opened = {"severity": "major", "title": "Payments fail", "systems": ["billing", "webhooks"]}
        moved = ("u-4", "severity by the guide for incidents", {"details": opened | {"severity": "critical"}})
        self._add("incident.open", _INCIDENT, "u-9", opened, changes=(moved,))
        self._time += timedelta(minutes=24)
        self._add("flag.disable", "payments-retry", "u-12", {"flag": {"from": True, "to": False}})
        self._time += timedelta(minutes=36)
        back = {"service": "billing", "release": {"from": "2.14.0", "to": "2.13.2"}, "seconds": 71}
        self._add("deploy.rollback", "billing", "ci", back)
        self._time += timedelta(minutes=11)
        self._add("alert.clear", "payments-failing", "monitor", alert | {"measured": 0.01})
        self._time += timedelta(minutes=45)
        self._resolve()

    def _resolve(self) -> None:
        cause = "unknown"
        resolved = {"severity": "critical", "cause": cause, "minutes": 126, "payments_failed": 390}
        found = resolved | {"cause": "a lock of the migration in 2.14.0 outlived its transaction"}
        counted = found | {"payments_failed": 412, "follow_ups": ["migrations with lock_timeout", "alert at 1%"]}
        changes = (
            ("u-12", "cause found", {"details": found}),
            ("u-4", "counted again at the review", ("whole", {"details": counted, "actor_id": "u-12"})),
        )
        self._add("incident.resolve", _INCIDENT, "u-9", resolved, changes=changes)

    def session(self) -> None:
        self._begin_at_work()
        user = self._pick("u-", 48)
        client = {"ip": f"192.0.2.{self._chance.randrange(1, 255)}", "mfa": self._is(0.8)}
        if self._is(0.06):
            self._add("user.login", user, user, client | {"error": "wrong password"}, _FAILURE)
            self._wait(12)
        self._add("user.login", user, user, client)
        for _ in range(self._chance.randrange(1, 6)):
            self._wait(240)
            self._work(user)
        if self._is(0.6):
            self._wait(600)
            self._add("user.logout", user, user, {"minutes": self._chance.randrange(5, 300)})

    def _work(self, user: str) -> None:
        (task,) = self._chance.choices([*_TASKS], [*_TASKS.values()])
        task(self, user)

    def _tenant(self) -> str:
        return self._pick("t-", 6, 1.4)

    def _invoice_id(self) -> str:
        return f"INV-{self._time.year}-{self._chance.randrange(1, 9000):04}"

    def _amount(self) -> float:
        return round(self._chance.lognormvariate(5.5, 1), 2)

    def create_invoice(self, user: str) -> None:
        details = {"tenant": self._tenant(), "customer": self._pick("C-", 400), "amount": self._amount()}
        details |= {"currency": "EUR", "lines": self._chance.randrange(1, 9)}
        if self._is_in_incident() and self._is(0.4):
            error = {"code": "lock-timeout", "attempts": 3}
            self._add("invoice.create", self._invoice_id(), user, details | {"error": error}, _FAILURE)
            return
        self._add("invoice.create", self._invoice_id(), user, details)

    def update_invoice(self, user: str) -> None:
        before = self._amount()
        amount = {"from": before, "to": round(before * self._chance.uniform(0.8, 1.2), 2)}
        details = {"tenant": self._tenant(), "amount": amount, "currency": "EUR"}
        by = self._chance.choice(_ADMINISTRATORS)
        right = details | {"amount": amount | {"to": round(amount["to"] * 1.19, 2)}}
        kinds: list[tuple[_Draft, ...]] = [
            ((by, "amount was without tax", {"details": right}),),
            ((by, "booked by the substitute", ("whole", {"actor_id": by, "details": right})),),
            ((by, "recorded for the wrong tenant", None),),
            ((by, "amount was without tax", {"details": right}), (by, "test of the new form", None)),
        ]
        changes = self._chance.choice(kinds) if self._is(0.05) else ()
        self._add("invoice.update", self._invoice_id(), user, details, changes=changes)

    def send_invoice(self, user: str) -> None:
        invoice = self._invoice_id()
        self._add("invoice.send", invoice, user, {"tenant": self._tenant(), "channel": "email"})
        self._wait(3)
        is_lost = self._is(0.015)
        result = {"error": "mailbox full"} if is_lost else {"attempt": 1}
        self._add("mail.send", invoice, "mailer", result, _FAILURE if is_lost else _SUCCESS)

    def update_customer(self, user: str) -> None:
        terms = {"from": 30, "to": self._chance.choice([14, 45, 60])}
        details = {"tenant": self._tenant(), "payment_days": terms}
        self._add("customer.update", self._pick("C-", 400), user, details)

    def export_report(self, user: str) -> None:
        details: _Fields = {"tenant": self._tenant(), "format": self._chance.choice(["csv", "pdf"])}
        details |= {"rows": self._chance.randrange(20, 40_000)}
        self._add("report.export", self._pick("R-", 12), user, details)

    def payment(self) -> None:
        self._begin_at_any_time()
        self._charge()

    def payment_in_incident(self) -> None:
        self._begin_in_incident()
        self._charge()

    def _charge(self) -> None:
        payment = f"P-{self._number:06}"
        details = {"tenant": self._tenant(), "amount": self._amount(), "currency": "EUR", "method": "card"}
        self._add("payment.request", payment, "billing", details, _PENDING)
        self._wait(2)
        if self._is_in_incident() and self._is(0.8):
            failed = details | {"error": {"code": "lock-timeout", "attempts": 3}}
            settled = details | {"settled": {"by": "hand", "incident": _INCIDENT}}
            changes = (("u-12", "settled by hand after the incident", {"status": _SUCCESS, "details": settled}),)
            self._add("payment.charge", payment, "billing", failed, _FAILURE, changes if self._is(0.3) else ())
        elif self._is(0.05):
            self._add("payment.charge", payment, "billing", details | {"error": {"code": "declined"}}, _FAILURE)
        else:
            self._add("payment.charge", payment, "billing", details)
            self._wait(1)
            self._add("invoice.pay", self._invoice_id(), "billing", {"tenant": details["tenant"], "payment": payment})

    def webhook(self) -> None:
        self._begin_at_any_time()
        endpoint = self._pick("hook-", 20)
        event = self._chance.choice(["invoice.paid", "invoice.sent", "customer.updated"])
        for attempt in range(1, 4):
            is_lost = self._is(0.07)
            details: _Fields = {"event": event, "attempt": attempt, "status": 503 if is_lost else 200}
            self._add("webhook.deliver", endpoint, "webhooks", details, _FAILURE if is_lost else _SUCCESS)
            if not is_lost:
                return
            self._wait(60 * 4**attempt)

    def night(self) -> None:
        self._begin_at_any_time()
        self._time = datetime.combine(self._time, time(2, 0, tzinfo=UTC)) - timedelta(days=1)
        self._wait(120)
        gigabytes = round(40 + self._chance.random() * 9, 1)
        self._add("backup.create", "billing-db", "scheduler", {"gigabytes": gigabytes, "kind": "full"})
        self._wait(1500)
        self._add("backup.verify", "billing-db", "scheduler", {"checksum": "ok", "seconds": round(gigabytes * 21)})

    def deployment(self) -> None:
        self._begin_at_work()
        service = self._chance.choice(_DEPLOYED)
        release = f"2.{self._chance.randrange(1, 24)}.{self._chance.randrange(0, 6)}"
        details: _Fields = {"service": service, "release": release, "commit": f"{self._chance.getrandbits(28):07x}"}
        self._add("deploy.start", service, "ci", details)
        self._wait(80)
        is_broken = self._is(0.06)
        seconds = self._chance.randrange(40, 150)
        result: _Fields = {"error": "health check failed"} if is_broken else {"seconds": seconds}
        self._add("deploy.finish", service, "ci", details | result, _FAILURE if is_broken else _SUCCESS)
        if is_broken:
            self._wait(30)
            self._add("deploy.rollback", service, "ci", {"service": service, "release": {"from": release}})

    def access(self) -> None:
        self._begin_at_work()
        user, administrator = self._pick("u-", 48), self._chance.choice(_ADMINISTRATORS)
        role = self._chance.choice(_ROLES)
        self._add("role.grant", user, administrator, {"role": role, "ticket": self._pick("T-", 900, 1)})
        if self._is(0.4):
            self._wait(7200)
            self._add("role.revoke", user, administrator, {"role": role, "reason": "no longer needed"})

    def key_rotation(self) -> None:
        self._begin_at_work()
        self._add("key.rotate", self._pick("key-", 9), self._chance.choice(_ADMINISTRATORS), {"days": 30})

    def probe(self) -> None:
        self._begin_at_any_time()
        address = f"203.0.113.{self._chance.randrange(1, 255)}"
        for _ in range(self._chance.randrange(2, 8)):
            details = {"ip": address, "error": "unknown user"}
            self._add("user.login", self._pick("u-", 90, 1), "anonymous", details, _FAILURE)
            self._wait(2)


def _actor_type(actor: str) -> ActorType:
    if actor in _SERVICES:
        return ActorType.SERVICE
    if actor in _SYSTEMS:
        return ActorType.SYSTEM
    return ActorType.ANONYMOUS if actor == "anonymous" else ActorType.USER


# In this order.
_OPENING = (_Episode.beginning, _Episode.incident)

# How often each happens, in proportion.
_KINDS: dict[Callable[[_Episode], None], float] = {
    _Episode.session: 44,
    _Episode.payment: 24,
    _Episode.webhook: 18,
    _Episode.deployment: 3,
    _Episode.access: 3,
    _Episode.key_rotation: 1,
    _Episode.night: 3,
    _Episode.probe: 2,
    _Episode.payment_in_incident: 1.2,
}
_TASKS: dict[Callable[[_Episode, str], None], float] = {
    _Episode.create_invoice: 30,
    _Episode.update_invoice: 26,
    _Episode.send_invoice: 24,
    _Episode.update_customer: 12,
    _Episode.export_report: 8,
}
