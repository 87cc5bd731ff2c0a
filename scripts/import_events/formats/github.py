"""GitHub's audit log of organizations and enterprises: the API, its stream and the JSON that the web page exports.

https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/reviewing-the-audit-log-for-your-organization
"""

from typing import Any

from scripts.import_events.mapping import STATUSES, Event, Format, always, find, words
from src.audits.constants import ActorType, AuditStatus


def _category(event: Event) -> str | None:
    """`repo` of `repo.create`."""
    action = find(event, "action")
    return action.partition(".")[0] if isinstance(action, str) else None


def _named_by_category(event: Event) -> Any:
    """The member that has the category's name: `repo` of `repo.create`."""
    return find(event, _category(event) or "")


def _actor_type(event: Event) -> ActorType:
    actor = find(event, "actor")
    if not actor:
        return ActorType.SYSTEM
    return ActorType.SERVICE if find(event, "actor_is_bot") or str(actor).endswith("[bot]") else ActorType.USER


FORMAT = Format(
    title="GitHub audit log",
    source=(always("github"),),
    event_id=("_document_id",),
    occurred_at=("@timestamp", "created_at", "at_sign_timestamp"),
    action=("action",),
    entity_type=(_category,),
    entity_id=(_named_by_category, "repo", "repository", "team", "user", "org", "business", "name"),
    actor_type=_actor_type,
    actor_id=("actor", "actor_id", "external_identity_nameid", "user"),
    status=words(STATUSES, AuditStatus.SUCCESS, "conclusion"),
    correlation_id=("request_id",),
)
