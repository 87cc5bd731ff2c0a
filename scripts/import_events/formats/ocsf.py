"""Events of the Open Cybersecurity Schema Framework 1.x, of any class. https://schema.ocsf.io"""

from scripts.import_events.mapping import Event, Format, find, words
from src.audits.constants import ActorType, AuditStatus

_USER_TYPES = {1: ActorType.USER, 2: ActorType.USER, 3: ActorType.SYSTEM, 4: ActorType.SERVICE}


def _actor_type(event: Event) -> ActorType:
    user = find(event, "actor.user") or find(event, "user")
    if user:
        return _USER_TYPES.get(find(user, "type_id"), ActorType.USER)
    return ActorType.SERVICE if find(event, "actor") else ActorType.SYSTEM


FORMAT = Format(
    title="OCSF",
    source=("metadata.product.uid", "metadata.product.name", "metadata.log_provider", "metadata.product.vendor_name"),
    event_id=("metadata.uid",),
    occurred_at=("time_dt", "time", "start_time", "metadata.logged_time"),
    action=(
        "api.operation",
        "type_name",
        "{class_name}: {activity_name}",
        "type_uid",
        "activity_name",
        "class_name",
        "class_uid",
    ),
    entity_type=("entity.type", "resources.0.type", "resource.type", "class_name", "class_uid"),
    entity_id=(
        "entity.uid",
        "entity.name",
        "resources.0.uid",
        "resources.0.name",
        "resource.uid",
        "user.uid",
        "user.name",
        "group.uid",
        "device.uid",
        "device.hostname",
        "dst_endpoint.hostname",
        "dst_endpoint.ip",
        "finding_info.uid",
        "finding.uid",
        "api.service.name",
        "src_endpoint.ip",
    ),
    actor_type=_actor_type,
    actor_id=(
        "actor.user.uid",
        "actor.user.name",
        "actor.user.email_addr",
        "actor.app_uid",
        "actor.app_name",
        "actor.invoked_by",
        "actor.process.name",
        "user.uid",
        "user.name",
        "src_endpoint.ip",
        "device.uid",
        "metadata.product.name",
    ),
    status=words(
        {
            "1": AuditStatus.SUCCESS,
            "2": AuditStatus.FAILURE,
            "success": AuditStatus.SUCCESS,
            "failure": AuditStatus.FAILURE,
        },
        AuditStatus.SUCCESS,
        "status_id",
        "status",
    ),
    correlation_id=("metadata.correlation_uid",),
)
