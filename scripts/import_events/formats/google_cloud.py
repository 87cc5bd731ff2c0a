"""Google Cloud audit logs: exports of Cloud Logging, `gcloud logging read --format=json`, `entries.list`.

Within a log, entries with the same time and `insertId` are the same entry.
https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry
"""

from scripts.import_events.mapping import Event, Format, always, find
from src.audits.constants import ActorType, AuditStatus


def _actor_type(event: Event) -> ActorType:
    who = find(event, "protoPayload.authenticationInfo.principalEmail")
    who = str(who or find(event, "protoPayload.authenticationInfo.principalSubject") or "")
    if not who:
        return ActorType.ANONYMOUS
    if who.startswith("system:"):
        return ActorType.SYSTEM
    is_service = who.endswith("gserviceaccount.com") or who.startswith("serviceAccount:")
    return ActorType.SERVICE if is_service else ActorType.USER


def _status(event: Event) -> AuditStatus:
    if find(event, "protoPayload.status.code"):
        return AuditStatus.FAILURE
    is_open = find(event, "operation.first") and not find(event, "operation.last")
    return AuditStatus.PENDING if is_open else AuditStatus.SUCCESS


FORMAT = Format(
    title="Google Cloud audit logs",
    envelopes=("entries",),
    source=("logName", always("google-cloud")),
    event_id=("{timestamp}/{insertId}", "insertId"),
    occurred_at=("timestamp", "receiveTimestamp", "protoPayload.requestMetadata.requestAttributes.time"),
    action=("protoPayload.methodName", "methodName"),
    entity_type=("resource.type", "protoPayload.serviceName", "serviceName"),
    entity_id=(
        "protoPayload.resourceName",
        "protoPayload.authorizationInfo.0.resource",
        "resource.labels.project_id",
        "logName",
    ),
    actor_type=_actor_type,
    actor_id=(
        "protoPayload.authenticationInfo.principalEmail",
        "protoPayload.authenticationInfo.principalSubject",
        "protoPayload.requestMetadata.callerIp",
        always("anonymous"),
    ),
    status=_status,
    correlation_id=("operation.id", "trace"),
)
