"""This service's own NDJSON export, and pages of its list.

A record keeps its `source` and `event_id`; one without them gets its id as `event_id`. Its `details` stay as they are,
without the event around them. What the service sets itself (`recorded_at`, `version`) is new.
"""

from scripts.import_events.mapping import Event, Format, always, find, words
from src.audits.constants import ActorType, AuditStatus


def _details(event: Event) -> Event:
    kept = find(event, "details")
    return kept if isinstance(kept, dict) else event


FORMAT = Format(
    title="Audit trail export",
    envelopes=("items",),
    source=("source", always("audit-trail")),
    event_id=("event_id", "id"),
    occurred_at=("occurred_at",),
    action=("action",),
    entity_type=("entity_type",),
    entity_id=("entity_id",),
    actor_type=words({kind.value: kind for kind in ActorType}, ActorType.USER, "actor_type"),
    actor_id=("actor_id",),
    status=words({status.value: status for status in AuditStatus}, AuditStatus.SUCCESS, "status"),
    correlation_id=("correlation_id",),
    details=_details,
    # The last line of an export with `summary=true`.
    skips=lambda event: "complete" in event and "action" not in event,
)
