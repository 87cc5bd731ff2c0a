"""The story that `make seed` tells: ninety days of a small company that sends invoices.

It is a sequence of episodes, such as the session of a user or a deployment. What an episode tells depends on its number
and on the end of the story alone. So a longer trail begins with the records of a shorter one.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import count

from scripts.seed_episode import SOURCE, Draft, Entry, Episode, Fields, to_entry
from src.audits.constants import AuditStatus

_SUCCESS, _FAILURE, _PENDING = AuditStatus
_INCIDENT = "INC-7"
_ADMINISTRATORS = ("u-4", "u-9")
_DEPLOYED = ("billing", "mailer", "portal", "webhooks")
_ROLES = ("accountant", "auditor", "support", "administrator")


def tell(end: datetime) -> Iterator[Entry]:
    """The entries of the story. The first one occurred `DAYS` before its end, so that it tells the end."""
    numbers = count(1)
    for number in count():
        episode = Episode(number, end)
        _tell_episode(episode)
        for fields, changes in episode.entries:
            event = {"source": SOURCE, "event_id": str(next(numbers))}
            yield to_entry(fields | event, changes)


def _tell_episode(episode: Episode) -> None:
    if episode.number < len(_OPENING):
        _OPENING[episode.number](episode)
        return
    (kind,) = episode.chance.choices([*_KINDS], [*_KINDS.values()])
    kind(episode)
    episode.move_before_end()


def beginning(episode: Episode) -> None:
    episode.add("service.start", "billing", "ci", {"release": "2.0.0", "region": "eu-1"})


def incident(episode: Episode) -> None:
    episode.now = episode.incident_begins
    release = {"service": "billing", "release": "2.14.0", "commit": "9f2c1ab"}
    episode.add("deploy.start", "billing", "ci", release)
    episode.now += timedelta(seconds=95)
    episode.add("deploy.finish", "billing", "ci", release | {"seconds": 95})
    episode.now += timedelta(minutes=6)
    alert = {"rule": "payments-failing", "threshold": 0.05, "measured": 0.82, "window_minutes": 5}
    episode.add("alert.raise", "payments-failing", "monitor", alert, _FAILURE)
    episode.now += timedelta(seconds=4)
    removal = ("u-9", "the alert was recorded twice", None)
    episode.add("alert.raise", "payments-failing", "monitor", alert, _FAILURE, (removal,))
    episode.now += timedelta(minutes=3)
    opened = {"severity": "major", "title": "Payments fail", "systems": ["billing", "webhooks"]}
    moved = ("u-4", "severity by the guide for incidents", {"details": opened | {"severity": "critical"}})
    episode.add("incident.open", _INCIDENT, "u-9", opened, changes=(moved,))
    episode.now += timedelta(minutes=24)
    episode.add("flag.disable", "payments-retry", "u-12", {"flag": {"from": True, "to": False}})
    episode.now += timedelta(minutes=36)
    back = {"service": "billing", "release": {"from": "2.14.0", "to": "2.13.2"}, "seconds": 71}
    episode.add("deploy.rollback", "billing", "ci", back)
    episode.now += timedelta(minutes=11)
    episode.add("alert.clear", "payments-failing", "monitor", alert | {"measured": 0.01})
    episode.now += timedelta(minutes=45)
    _resolve(episode)


def _resolve(episode: Episode) -> None:
    cause = "unknown"
    resolved = {"severity": "critical", "cause": cause, "minutes": 126, "payments_failed": 390}
    found = resolved | {"cause": "a lock of the migration in 2.14.0 outlived its transaction"}
    counted = found | {"payments_failed": 412, "follow_ups": ["migrations with lock_timeout", "alert at 1%"]}
    changes = (
        ("u-12", "cause found", {"details": found}),
        ("u-4", "counted again at the review", ("whole", {"details": counted, "actor_id": "u-12"})),
    )
    episode.add("incident.resolve", _INCIDENT, "u-9", resolved, changes=changes)


def session(episode: Episode) -> None:
    episode.begin_at_work()
    user = episode.pick("u-", 48)
    client = {"ip": f"192.0.2.{episode.chance.randrange(1, 255)}", "mfa": episode.happens(0.8)}
    if episode.happens(0.06):
        episode.add("user.login", user, user, client | {"error": "wrong password"}, _FAILURE)
        episode.wait(12)
    episode.add("user.login", user, user, client)
    for _ in range(episode.chance.randrange(1, 6)):
        episode.wait(240)
        _work(episode, user)
    if episode.happens(0.6):
        episode.wait(600)
        episode.add("user.logout", user, user, {"minutes": episode.chance.randrange(5, 300)})


def _work(episode: Episode, user: str) -> None:
    (task,) = episode.chance.choices([*_TASKS], [*_TASKS.values()])
    task(episode, user)


def _tenant(episode: Episode) -> str:
    return episode.pick("t-", 6, 1.4)


def _invoice_id(episode: Episode) -> str:
    return f"INV-{episode.now.year}-{episode.chance.randrange(1, 9000):04}"


def _amount(episode: Episode) -> float:
    return round(episode.chance.lognormvariate(5.5, 1), 2)


def create_invoice(episode: Episode, user: str) -> None:
    details = {"tenant": _tenant(episode), "customer": episode.pick("C-", 400), "amount": _amount(episode)}
    details |= {"currency": "EUR", "lines": episode.chance.randrange(1, 9)}
    if episode.is_in_incident() and episode.happens(0.4):
        error = {"code": "lock-timeout", "attempts": 3}
        episode.add("invoice.create", _invoice_id(episode), user, details | {"error": error}, _FAILURE)
        return
    episode.add("invoice.create", _invoice_id(episode), user, details)


def update_invoice(episode: Episode, user: str) -> None:
    before = _amount(episode)
    amount = {"from": before, "to": round(before * episode.chance.uniform(0.8, 1.2), 2)}
    details = {"tenant": _tenant(episode), "amount": amount, "currency": "EUR"}
    by = episode.chance.choice(_ADMINISTRATORS)
    right = details | {"amount": amount | {"to": round(amount["to"] * 1.19, 2)}}
    kinds: list[tuple[Draft, ...]] = [
        ((by, "amount was without tax", {"details": right}),),
        ((by, "booked by the substitute", ("whole", {"actor_id": by, "details": right})),),
        ((by, "recorded for the wrong tenant", None),),
        ((by, "amount was without tax", {"details": right}), (by, "test of the new form", None)),
    ]
    changes = episode.chance.choice(kinds) if episode.happens(0.05) else ()
    episode.add("invoice.update", _invoice_id(episode), user, details, changes=changes)


def send_invoice(episode: Episode, user: str) -> None:
    invoice = _invoice_id(episode)
    episode.add("invoice.send", invoice, user, {"tenant": _tenant(episode), "channel": "email"})
    episode.wait(3)
    is_lost = episode.happens(0.015)
    result = {"error": "mailbox full"} if is_lost else {"attempt": 1}
    episode.add("mail.send", invoice, "mailer", result, _FAILURE if is_lost else _SUCCESS)


def update_customer(episode: Episode, user: str) -> None:
    terms = {"from": 30, "to": episode.chance.choice([14, 45, 60])}
    details = {"tenant": _tenant(episode), "payment_days": terms}
    episode.add("customer.update", episode.pick("C-", 400), user, details)


def export_report(episode: Episode, user: str) -> None:
    details: Fields = {"tenant": _tenant(episode), "format": episode.chance.choice(["csv", "pdf"])}
    details |= {"rows": episode.chance.randrange(20, 40_000)}
    episode.add("report.export", episode.pick("R-", 12), user, details)


def payment(episode: Episode) -> None:
    episode.begin_at_any_time()
    _charge(episode)


def payment_in_incident(episode: Episode) -> None:
    episode.begin_in_incident()
    _charge(episode)


def _charge(episode: Episode) -> None:
    payment = f"P-{episode.number:06}"
    details = {"tenant": _tenant(episode), "amount": _amount(episode), "currency": "EUR", "method": "card"}
    episode.add("payment.request", payment, "billing", details, _PENDING)
    episode.wait(2)
    if episode.is_in_incident() and episode.happens(0.8):
        failed = details | {"error": {"code": "lock-timeout", "attempts": 3}}
        settled = details | {"settled": {"by": "hand", "incident": _INCIDENT}}
        changes = (("u-12", "settled by hand after the incident", {"status": _SUCCESS, "details": settled}),)
        episode.add("payment.charge", payment, "billing", failed, _FAILURE, changes if episode.happens(0.3) else ())
    elif episode.happens(0.05):
        episode.add("payment.charge", payment, "billing", details | {"error": {"code": "declined"}}, _FAILURE)
    else:
        episode.add("payment.charge", payment, "billing", details)
        episode.wait(1)
        episode.add("invoice.pay", _invoice_id(episode), "billing", {"tenant": details["tenant"], "payment": payment})


def webhook(episode: Episode) -> None:
    episode.begin_at_any_time()
    endpoint = episode.pick("hook-", 20)
    event = episode.chance.choice(["invoice.paid", "invoice.sent", "customer.updated"])
    for attempt in range(1, 4):
        is_lost = episode.happens(0.07)
        details: Fields = {"event": event, "attempt": attempt, "status": 503 if is_lost else 200}
        episode.add("webhook.deliver", endpoint, "webhooks", details, _FAILURE if is_lost else _SUCCESS)
        if not is_lost:
            return
        episode.wait(60 * 4**attempt)


def night(episode: Episode) -> None:
    episode.begin_at_any_time()
    episode.now = datetime.combine(episode.now, time(2, 0, tzinfo=UTC)) - timedelta(days=1)
    episode.wait(120)
    gigabytes = round(40 + episode.chance.random() * 9, 1)
    episode.add("backup.create", "billing-db", "scheduler", {"gigabytes": gigabytes, "kind": "full"})
    episode.wait(1500)
    episode.add("backup.verify", "billing-db", "scheduler", {"checksum": "ok", "seconds": round(gigabytes * 21)})


def deployment(episode: Episode) -> None:
    episode.begin_at_work()
    service = episode.chance.choice(_DEPLOYED)
    release = f"2.{episode.chance.randrange(1, 24)}.{episode.chance.randrange(0, 6)}"
    details: Fields = {"service": service, "release": release, "commit": f"{episode.chance.getrandbits(28):07x}"}
    episode.add("deploy.start", service, "ci", details)
    episode.wait(80)
    is_broken = episode.happens(0.06)
    seconds = episode.chance.randrange(40, 150)
    result: Fields = {"error": "health check failed"} if is_broken else {"seconds": seconds}
    episode.add("deploy.finish", service, "ci", details | result, _FAILURE if is_broken else _SUCCESS)
    if is_broken:
        episode.wait(30)
        episode.add("deploy.rollback", service, "ci", {"service": service, "release": {"from": release}})


def access(episode: Episode) -> None:
    episode.begin_at_work()
    user, administrator = episode.pick("u-", 48), episode.chance.choice(_ADMINISTRATORS)
    role = episode.chance.choice(_ROLES)
    episode.add("role.grant", user, administrator, {"role": role, "ticket": episode.pick("T-", 900, 1)})
    if episode.happens(0.4):
        episode.wait(7200)
        episode.add("role.revoke", user, administrator, {"role": role, "reason": "no longer needed"})


def key_rotation(episode: Episode) -> None:
    episode.begin_at_work()
    episode.add("key.rotate", episode.pick("key-", 9), episode.chance.choice(_ADMINISTRATORS), {"days": 30})


def probe(episode: Episode) -> None:
    episode.begin_at_any_time()
    address = f"203.0.113.{episode.chance.randrange(1, 255)}"
    for _ in range(episode.chance.randrange(2, 8)):
        details = {"ip": address, "error": "unknown user"}
        episode.add("user.login", episode.pick("u-", 90, 1), "anonymous", details, _FAILURE)
        episode.wait(2)


# In this order.
_OPENING = (beginning, incident)

# How often each happens, in proportion.
_KINDS: dict[Callable[[Episode], None], float] = {
    session: 44,
    payment: 24,
    webhook: 18,
    deployment: 3,
    access: 3,
    key_rotation: 1,
    night: 3,
    probe: 2,
    payment_in_incident: 1.2,
}
_TASKS: dict[Callable[[Episode, str], None], float] = {
    create_invoice: 30,
    update_invoice: 26,
    send_invoice: 24,
    update_customer: 12,
    export_report: 8,
}
