"""Records as OCSF events: valid by each version of the published schema, and the record is in them as it is."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import httpx2
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema  # type: ignore[import-untyped]

from src.audits import ocsf
from src.audits.constants import ActorType, AuditStatus
from src.audits.schemas import Audit
from tests.audits.factories import create_audit

VERSIONS = ("1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0")
TIME = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)


def audit(**changes: Any) -> Audit:
    fields: dict[str, Any] = dict.fromkeys(Audit.model_fields) | {
        "id": UUID("019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b"),
        "occurred_at": TIME,
        "recorded_at": TIME,
        "updated_at": TIME,
        "action": "invoice.update",
        "entity_type": "invoice",
        "entity_id": "INV-1",
        "actor_type": ActorType.USER,
        "actor_id": "u-1",
        "status": AuditStatus.SUCCESS,
        "details": {"a": 1},
        "correlation_id": "req-1",
        "version": 1,
    }
    return Audit.model_validate(fields | changes)


@cache
def validator(version: str) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    return Draft202012Validator(schema.get_class_schema(class_name="entity_management"))


def event_of(record: Audit) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(ocsf.to_line(record, record.model_dump_json()))
    return event


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("actor_type", ActorType)
@pytest.mark.parametrize("status", AuditStatus)
def test_every_event_is_valid_by_every_version(version: str, actor_type: ActorType, status: AuditStatus) -> None:
    for action in ("invoice.create", "invoice.approve"):
        event = event_of(audit(action=action, actor_type=actor_type, status=status, correlation_id=None))
        event["metadata"]["version"] = version
        errors = [error.message for error in validator(version).iter_errors(event)]
        assert errors == []


def test_the_schema_refuses_an_event_without_its_entity() -> None:
    event = event_of(audit())
    del event["entity"]
    assert not validator(ocsf.SCHEMA_VERSION).is_valid(event)


def test_the_record_and_its_fields_are_in_the_event() -> None:
    record = audit(details={"big": 1e300, "text": "\u2028"})
    event = event_of(record)
    assert event["unmapped"] == record.model_dump(mode="json")
    assert event["metadata"]["uid"] == str(record.id)
    assert event["metadata"]["correlation_uid"] == "req-1"
    assert event["time"] == event["metadata"]["logged_time"] == 1_769_860_800_250
    assert event["actor"] == {"user": {"uid": "u-1", "type_id": 1, "type": "User"}}
    assert event["entity"] == {"type": "invoice", "uid": "INV-1"}
    assert (event["status_id"], event["type_uid"], event["type_name"]) == (1, 300_403, "Entity Management: Update")


async def test_an_export_is_lines_of_events_that_the_schema_takes(client: httpx2.AsyncClient) -> None:
    records = [
        await create_audit(client, action=action, details={"n": 1e300, "text": "\u2028"}, occurred_at=time)
        for action, time in (("invoice.create", "2026-01-31T12:00:00.25Z"), ("invoice.approve", "1970-01-01T00:00:00Z"))
    ]
    query = {"format": "ocsf", "order": "asc", "summary": "true"}
    response = await client.get("/api/v1/audits/export", params=query)
    assert response.headers["content-type"] == "application/x-ndjson"
    *events, summary = [json.loads(line) for line in response.text.split("\n")[:-1]]
    assert summary["records"] == 2
    for event, record in zip(events, reversed(records), strict=True):
        assert validator(ocsf.SCHEMA_VERSION).is_valid(event)
        assert event["metadata"]["uid"] == event["unmapped"]["id"] == record["id"]
        assert Audit.model_validate(event["unmapped"]) == Audit.model_validate(record)


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("invoice.create", (1, "Create")),
        ("create", (1, "Create")),
        ("CreateUser", (1, "Create")),
        ("Add member to role.", (1, "Create")),
        ("ListIdentities", (2, "Read")),
        ("watch", (2, "Read")),
        ("user_updated", (3, "Update")),
        ("microsoft.support/supporttickets/write", (3, "Update")),
        ("MICROSOFT.NETWORK/FIREWALLPOLICIES/DELETE", (4, "Delete")),
        ("google.logging.v2.ConfigServiceV2.DeleteBucket", (4, "Delete")),
        ("user.session.start", (99, "start")),
        ("invoice.approve", (99, "approve")),
        ("recreate", (99, "recreate")),
        ("Пользователь", (99, "Пользователь")),
        ("...", (99, "...")),
    ],
)
def test_the_activity_is_what_the_last_step_of_the_action_says(action: str, activity: tuple[int, str]) -> None:
    event = event_of(audit(action=action))
    assert (event["activity_id"], event["activity_name"]) == activity


def test_a_pending_record_has_no_status_of_the_schema() -> None:
    event = event_of(audit(status=AuditStatus.PENDING))
    assert (event["status_id"], event["status"]) == (99, "Pending")
