"""CloudEvents 1.0 as JSON, alone or in batches. https://github.com/cloudevents/spec

They say who acted only with the extension for authentication, https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/authcontext.md;
without it the actor is the source, a service.
"""

from scripts.import_events.mapping import Event, Format, find, words
from src.audits.constants import ActorType, AuditStatus


def _subject_of_type(event: Event) -> str | None:
    """`com.github.pull_request` of `com.github.pull_request.opened`."""
    kind = find(event, "type")
    return kind.rpartition(".")[0] or kind if isinstance(kind, str) else None


FORMAT = Format(
    title="CloudEvents",
    source=("source",),
    event_id=("id",),
    occurred_at=("time",),
    action=("type",),
    entity_type=(_subject_of_type,),
    entity_id=("subject", "source"),
    actor_type=words(
        {
            "app_user": ActorType.USER,
            "user": ActorType.USER,
            "system": ActorType.SYSTEM,
            "unauthenticated": ActorType.ANONYMOUS,
        },
        ActorType.SERVICE,
        "authtype",
    ),
    actor_id=("authid", "source"),
    status=lambda _: AuditStatus.SUCCESS,
    correlation_id=("correlationid", "traceparent"),
)
