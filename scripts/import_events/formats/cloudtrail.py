"""AWS CloudTrail.

Files of a trail (`{"Records": [...]}`), `aws cloudtrail lookup-events`, EventBridge, subscriptions of CloudWatch Logs.
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from typing import Any

from scripts.import_events.mapping import Event, Format, always, find, words
from src.audits.constants import ActorType, AuditStatus


def _service(event: Event) -> str | None:
    """`iam` of `iam.amazonaws.com`."""
    source = find(event, "eventSource")
    return source.removesuffix(".amazonaws.com") if isinstance(source, str) else None


_PARAMETERS = (
    *("userName", "roleName", "roleArn", "groupName", "groupId", "policyArn", "bucketName", "functionName"),
    *("instanceId", "secretId", "keyId", "name"),
)


def _named_by_parameters(event: Event) -> Any:
    """What the request was about, by the usual names."""
    parameters = find(event, "requestParameters")
    if not isinstance(parameters, dict):
        return None
    return next((parameters[name] for name in _PARAMETERS if parameters.get(name)), None)


def _status(event: Event) -> AuditStatus:
    failed = find(event, "errorCode") or find(event, "responseElements.ConsoleLogin") == "Failure"
    return AuditStatus.FAILURE if failed else AuditStatus.SUCCESS


FORMAT = Format(
    title="AWS CloudTrail",
    envelopes=("Records", "Events", "logEvents"),
    wrappers=("CloudTrailEvent", "message", "detail"),
    source=(always("aws.cloudtrail"),),
    event_id=("eventID",),
    occurred_at=("eventTime",),
    action=("eventName", "insightDetails.eventName"),
    entity_type=("resources.0.type", _service),
    entity_id=(
        "resources.0.ARN",
        "resources.0.ARNPrefix",
        _named_by_parameters,
        "recipientAccountId",
        "userIdentity.accountId",
    ),
    actor_type=words(
        {"awsservice": ActorType.SERVICE, "awsaccount": ActorType.SERVICE, "unknown": ActorType.ANONYMOUS},
        ActorType.USER,
        "userIdentity.type",
    ),
    actor_id=(
        "userIdentity.arn",
        "userIdentity.principalId",
        "userIdentity.userName",
        "userIdentity.onBehalfOf.userId",
        "userIdentity.invokedBy",
        "userIdentity.accountId",
        "sourceIPAddress",
    ),
    status=_status,
    correlation_id=("sharedEventID", "requestID"),
)
