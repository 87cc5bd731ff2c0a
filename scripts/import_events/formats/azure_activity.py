"""Azure Activity log: the API and `az monitor activity-log list` (`value`), storage and event hubs (`records`).

Entra's audit and sign-in logs have the same form there.

https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

import re

from scripts.import_events.mapping import STATUSES, Event, Format, always, find, words
from src.audits.constants import ActorType, AuditStatus

_PROVIDER = re.compile(r"/providers/([^/]+/[^/]+)(?!.*/providers/)", re.IGNORECASE)


def _resource_type(event: Event) -> str | None:
    """`Microsoft.Storage/storageAccounts` of a resource's id."""
    for path in ("resourceId", "authorization.scope"):
        if found := _PROVIDER.search(str(find(event, path) or "")):
            return found[1]
    return None


def _actor_type(event: Event) -> ActorType:
    people = ("identity.claims.name", "properties.initiatedBy.user.id", "properties.userPrincipalName")
    caller = find(event, "caller") or find(event, "identity.claims.appid") or find(event, "claims.appid")
    if any(find(event, path) for path in people) or "@" in str(caller):
        return ActorType.USER
    if caller or find(event, "properties.initiatedBy.app") or find(event, "properties.servicePrincipalId"):
        return ActorType.SERVICE
    return ActorType.ANONYMOUS if find(event, "callerIpAddress") else ActorType.SYSTEM


FORMAT = Format(
    title="Azure Activity log",
    envelopes=("value", "records"),
    source=(always("azure.activity"),),
    event_id=("eventDataId", "properties.eventDataId", "properties.id", "id"),
    occurred_at=("eventTimestamp", "time", "submissionTimestamp"),
    action=("operationName.value", "operationName", "authorization.action"),
    entity_type=(
        "resourceType.value",
        "resourceType",
        _resource_type,
        "resourceProviderName.value",
        "category.value",
        "category",
    ),
    entity_id=(
        "resourceId",
        "authorization.scope",
        "id",
        "uri",
        "subscriptionId",
        "tenantId",
        "properties.resourceId",
    ),
    actor_type=_actor_type,
    actor_id=(
        "caller",
        "identity.claims.name",
        "identity.claims.appid",
        "claims.appid",
        "identity.authorization.evidence.principalId",
        "properties.initiatedBy.user.userPrincipalName",
        "properties.initiatedBy.user.id",
        "properties.initiatedBy.app.displayName",
        "properties.userPrincipalName",
        "properties.servicePrincipalId",
        "callerIpAddress",
        always("azure"),
    ),
    status=words(
        STATUSES
        | {
            "started": AuditStatus.PENDING,
            "start": AuditStatus.PENDING,
            "accept": AuditStatus.PENDING,
            "accepted": AuditStatus.PENDING,
            "in progress": AuditStatus.PENDING,
        },
        AuditStatus.SUCCESS,
        "status.value",
        "resultType",
        "status",
    ),
    correlation_id=("correlationId", "operationId"),
)
