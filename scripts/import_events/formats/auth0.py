"""Auth0 tenant logs: the Management API and log streams.

`action` is the type code, such as `fp` for a wrong password: https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes
"""

import re

from scripts.import_events.mapping import Event, Format, always, find
from src.audits.constants import ActorType, AuditStatus

_PATH = re.compile(r"(?:/api)?/v2/([^/]+)")
# The codes of failures begin with f, but for those of flows, or name what went wrong.
_FAILURE = re.compile(r"f(?!lows_)|limit_|pwd_leak|.*(fail|reject|blocked|_leak)", re.IGNORECASE)


def _resource(event: Event) -> str | None:
    """`clients` of a call of the Management API, `/api/v2/clients/c-1`."""
    found = _PATH.match(str(find(event, "details.request.path") or ""))
    return found[1] if found else None


def _type_of_entity(event: Event) -> str:
    names = {"user_id": "user", "user_name": "user", "client_id": "client", "connection": "connection"}
    return next((kind for name, kind in names.items() if find(event, name)), "tenant")


def _actor_type(event: Event) -> ActorType:
    who = find(event, "user_id") or find(event, "details.request.auth.user.user_id")
    if (who and not str(who).endswith("@clients")) or find(event, "user_name"):
        return ActorType.USER
    return ActorType.SERVICE if who or find(event, "client_id") else ActorType.ANONYMOUS


def _status(event: Event) -> AuditStatus:
    return AuditStatus.FAILURE if _FAILURE.match(str(find(event, "type") or "")) else AuditStatus.SUCCESS


FORMAT = Format(
    title="Auth0 logs",
    envelopes=("logs",),
    wrappers=("detail", "data"),
    source=(always("auth0"),),
    event_id=("log_id", "_id"),
    occurred_at=("date",),
    action=("type",),
    entity_type=(_resource, _type_of_entity),
    entity_id=(
        "details.request.path",
        "user_id",
        "user_name",
        "client_id",
        "connection_id",
        "connection",
        "tenant_name",
        "hostname",
    ),
    actor_type=_actor_type,
    actor_id=("user_id", "details.request.auth.user.user_id", "user_name", "client_id", "ip", always("anonymous")),
    status=_status,
    correlation_id=("session_id", "details.session_id"),
)
