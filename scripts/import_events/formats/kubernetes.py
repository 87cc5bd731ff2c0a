"""Kubernetes API server audit events (audit.k8s.io): log files, webhook bodies (`EventList`) and CloudWatch Logs.

One request can have an event for each stage: they share `auditID`, and `correlation_id` brings them together.
https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

from scripts.import_events.mapping import Event, Format, always, find
from src.audits.constants import ActorType, AuditStatus

_FIRST_ERROR_CODE = 400


def _actor_type(event: Event) -> ActorType:
    name = str(find(event, "user.username") or "system:anonymous")
    if name == "system:anonymous":
        return ActorType.ANONYMOUS
    if name.startswith("system:serviceaccount:"):
        return ActorType.SERVICE
    return ActorType.SYSTEM if name.startswith("system:") else ActorType.USER


def _status(event: Event) -> AuditStatus:
    code, stage = find(event, "responseStatus.code"), find(event, "stage")
    if stage == "Panic" or (isinstance(code, int) and code >= _FIRST_ERROR_CODE):
        return AuditStatus.FAILURE
    is_open = code is None and stage in ("RequestReceived", "ResponseStarted")
    return AuditStatus.PENDING if is_open else AuditStatus.SUCCESS


FORMAT = Format(
    title="Kubernetes audit",
    envelopes=("items", "logEvents"),
    wrappers=("message",),
    source=(always("kubernetes"),),
    event_id=("{auditID}/{stage}", "auditID"),
    occurred_at=("stageTimestamp", "requestReceivedTimestamp", "timestamp", "metadata.creationTimestamp"),
    action=("verb",),
    entity_type=("{objectRef.resource}/{objectRef.subresource}", "objectRef.resource", always("url")),
    entity_id=(
        "{objectRef.namespace}/{objectRef.name}",
        "objectRef.name",
        "objectRef.namespace",
        "requestURI",
        "objectRef.resource",
    ),
    actor_type=_actor_type,
    actor_id=("user.username", "user.uid", always("system:anonymous")),
    status=_status,
    correlation_id=("auditID",),
)
