"""Records as events of the Open Cybersecurity Schema Framework (https://schema.ocsf.io), class Entity Management.

The events are valid by the versions 1.4 to 1.8 of the schema; earlier ones have no actor in this class. No event is of
the class API Activity, which requires the address that a request came from: a record does not have it.
"""

import re
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from src import __version__
from src.audits.constants import ActorType, AuditStatus
from src.audits.schemas import Audit

SCHEMA_VERSION = "1.4.0"

_CLASS_UID, _CLASS_NAME = 3004, "Entity Management"
_CATEGORY_UID, _CATEGORY_NAME = 3, "Identity & Access Management"
_INFORMATIONAL = {"severity_id": 1, "severity": "Informational"}
_PRODUCT = {"name": "audit-trail", "vendor_name": "audit-trail", "version": __version__}

_OTHER = 99
_STATUSES = {
    AuditStatus.SUCCESS: {"status_id": 1, "status": "Success"},
    AuditStatus.FAILURE: {"status_id": 2, "status": "Failure"},
    AuditStatus.PENDING: {"status_id": _OTHER, "status": "Pending"},
}
# 4, Service, came with 1.8.
_USER_TYPES = {
    ActorType.USER: {"type_id": 1, "type": "User"},
    ActorType.SYSTEM: {"type_id": 3, "type": "System"},
    ActorType.SERVICE: {"type_id": _OTHER, "type": "Service"},
    ActorType.ANONYMOUS: {"type_id": _OTHER, "type": "Anonymous"},
}

_ACTIVITIES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_VERBS = {
    1: "create created add added insert inserted register registered upload uploaded",
    2: "read get list view viewed download downloaded export exported describe search query watch lookup head",
    3: "update updated modify modified change changed edit edited patch put set write rename renamed replace replaced",
    4: "delete deleted remove removed destroy destroyed purge purged deletecollection",
}
_ACTIVITY_OF_VERB = {verb: activity for activity, verbs in _VERBS.items() for verb in verbs.split()}
# The last step of `invoice.update`, `Microsoft.Insights/actionGroups/delete`, `google.logging.v2.Service.DeleteBucket`.
_LAST_STEP = re.compile(r"[^./:]*(?=[./: ]*$)")
# The words of `DeleteBucket`, `delete_bucket`, `DELETE` and `Add member to role.`
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def to_line(audit: Audit, record: str) -> str:
    """The event of a record, as JSON. `record` is the record as JSON, which becomes `unmapped` as it is."""
    return f'{to_json(to_event(audit)).decode()[:-1]},"unmapped":{record}}}'


def to_event(audit: Audit) -> dict[str, Any]:
    """The event of a record, without the record itself."""
    activity_id, activity_name = _activity(audit.action)
    correlation = {"correlation_uid": audit.correlation_id} if audit.correlation_id else {}
    return {
        "category_uid": _CATEGORY_UID,
        "category_name": _CATEGORY_NAME,
        "class_uid": _CLASS_UID,
        "class_name": _CLASS_NAME,
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": _CLASS_UID * 100 + activity_id,
        "type_name": f"{_CLASS_NAME}: {_ACTIVITIES.get(activity_id, 'Other')}",
        "time": _milliseconds(audit.occurred_at),
        **_INFORMATIONAL,
        **_STATUSES[audit.status],
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": _PRODUCT,
            "uid": str(audit.id),
            "event_code": audit.action,
            "logged_time": _milliseconds(audit.recorded_at),
            **correlation,
        },
        "actor": {"user": {"uid": audit.actor_id, **_USER_TYPES[audit.actor_type]}},
        "entity": {"type": audit.entity_type, "uid": audit.entity_id},
    }


def _activity(action: str) -> tuple[int, str]:
    """The activity that the last step of an action names, with its first or its last word."""
    step = _last_step(action)
    words = [word.lower() for word in _WORD.findall(step)]
    for word in words[:1] + words[-1:]:
        if activity := _ACTIVITY_OF_VERB.get(word):
            return activity, _ACTIVITIES[activity]
    return _OTHER, step or action


def _last_step(action: str) -> str:
    found = _LAST_STEP.search(action)
    return found[0].strip() if found else action


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000)
