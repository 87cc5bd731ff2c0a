"""Okta System Log: the API, event hooks and EventBridge. https://developer.okta.com/docs/reference/api/system-log/"""

from scripts.import_events.mapping import STATUSES, Event, Format, always, find, words
from src.audits.constants import ActorType, AuditStatus


def _category(event: Event) -> str | None:
    """`user` of `user.session.start`."""
    kind = find(event, "eventType")
    return kind.partition(".")[0] if isinstance(kind, str) else None


FORMAT = Format(
    title="Okta System Log",
    envelopes=("events",),
    wrappers=("detail",),
    source=(always("okta"),),
    event_id=("uuid",),
    occurred_at=("published",),
    action=("eventType", "legacyEventType"),
    entity_type=("target.0.type", _category),
    entity_id=("target.0.id", "target.0.alternateId", "actor.id", "client.ipAddress"),
    actor_type=words(
        {"user": ActorType.USER, "systemprincipal": ActorType.SYSTEM, "none": ActorType.ANONYMOUS},
        ActorType.SERVICE,
        "actor.type",
    ),
    actor_id=("actor.id", "actor.alternateId", "client.ipAddress"),
    status=words(
        STATUSES | {"challenge": AuditStatus.PENDING, "unknown": AuditStatus.PENDING, "abandoned": AuditStatus.FAILURE},
        AuditStatus.SUCCESS,
        "outcome.result",
    ),
    correlation_id=("transaction.id",),
)
