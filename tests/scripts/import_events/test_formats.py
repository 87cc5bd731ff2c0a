"""Every sample event becomes a valid record, with an id that stays the same."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from scripts.import_events.details import decode
from scripts.import_events.formats import FORMATS
from scripts.import_events.mapping import NotAnEvent, Skipped, to_record
from scripts.import_events.reader import Reader
from src.audits import schemas

SAMPLES = Path(__file__).parent / "samples"
FILES = {path.stem: path for path in SAMPLES.iterdir() if path.suffix != ".md"}


def records(name: str, text: bytes) -> list[dict[str, Any]]:
    """The records of a file. `AuditCreate` has validated each."""
    found = []
    for event in Reader(io.BytesIO(text), name, FORMATS[name].envelopes, decode):
        try:
            record = to_record(event, FORMATS[name])
        except Skipped:
            continue
        assert record.is_recognised
        found.append(valid(record.encoded))
    return found


def valid(encoded: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(encoded)
    model: type[BaseModel] = schemas.AuditCreate
    model.model_validate(record)
    return record


def sample(name: str) -> list[dict[str, Any]]:
    return records(name, FILES[name].read_bytes())


def record_of(name: str, event: Any) -> dict[str, Any]:
    return valid(to_record(event, FORMATS[name]).encoded)


def test_every_format_has_a_sample_and_a_line_that_says_where_it_is_from() -> None:
    readme = (SAMPLES / "README.md").read_text()
    assert FILES.keys() == FORMATS.keys()
    assert all(f"| `{path.name}` |" in readme for path in FILES.values())


EXPECTED = {
    "cloudtrail": ("ListIdentities", "ses", "111122223333", "user", "success", "7c41bbec-52c5-49cb-80aa-88f295d490fd"),
    "github": (
        *("repository_vulnerability_alert.dismiss", "repository_vulnerability_alert", "acme/repo"),
        *("user", "success", "Z7JUOWzi2wKeWsZcOhbS9w"),
    ),
    "kubernetes": (
        *("create", "pods/exec", "default/nginx-deployment-7998647bdf-phvq7", "user", "success"),
        "ca1ed9f4-7bf4-4c85-81a8-1b11253d1ba6/ResponseStarted",
    ),
    "okta": (
        *("system.api_token.revoke", "Token", "00Tpki36zlWjhjQ1u2p4", "user", "success"),
        "2a992f80-d1ad-4f62-900e-8c68bb72a21b",
    ),
    "google-cloud": (
        *("google.logging.v2.ConfigServiceV2.DeleteBucket", "audited_resource"),
        *("projects/test-project-123456/locations/global/buckets/testloggingbucket", "user", "success"),
        "2023-05-23 19:38:36.838/xxxxxxxxxx",
    ),
    "azure-activity": (
        *("microsoft.support/supporttickets/write", "microsoft.support/supporttickets"),
        "/subscriptions/089bd33f-d4ec-47fe-8ba5-0753aa5c5b33/resourceGroups/MSSupportGroup/providers/microsoft.support/supporttickets/115012112305841",
        *("user", "success", "44ade6b4-3813-45e6-ae27-7420a95fa2f8"),
    ),
    "auth0": (
        *("sapi", "tenants", "/api/v2/tenants/invitations/inv_TEyzbreI336AHrfU", "user", "success"),
        "90020230515161703699125000000000000001223372037485126920",
    ),
    "ocsf": (
        *("CreateUser", "Account Change", "AROA2W7SOKHEXAMPLE:Admin-user", "user", "success"),
        "7dd15a89-ae0f-4340-8e6c-example",
    ),
    "cloudevents": ("com.example.someevent", "com.example", "/mycontext/4", "service", "success", "B234-1234-1234"),
    "export": ("invoice.update", "invoice", "INV-2026-0042", "user", "success", "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_fields_of_a_sample_are_where_the_format_has_them(name: str) -> None:
    first = sample(name)[0]
    fields = ("action", "entity_type", "entity_id", "actor_type", "status", "event_id")
    assert tuple(first[field] for field in fields) == EXPECTED[name]


@pytest.mark.parametrize("name", FORMATS)
def test_every_event_of_a_sample_has_an_id_of_its_own_that_stays_the_same(name: str) -> None:
    first, second = ([(record["source"], record["event_id"]) for record in sample(name)] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first) >= 1


@pytest.mark.parametrize("name", FORMATS)
def test_an_event_of_which_any_part_is_missing_or_of_another_type_comes_in(name: str) -> None:
    """Each member at each level is removed and replaced, one after the other."""
    tried = 0
    for event in _events(name):
        for change in _changes(event):
            if record := _changed(name, event, *change):
                tried += 1
                assert record["source"]
                assert record["event_id"]
    assert tried > 50


def _events(name: str) -> list[Any]:
    return list(Reader(io.BytesIO(FILES[name].read_bytes()), name, FORMATS[name].envelopes, decode))


OTHERS: tuple[Any, ...] = (None, "", " ", 7, True, [], {}, "x\0y", "*", "e" * 3_000, "é" * 1_500)


def _changes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if not isinstance(value, dict | list):
        return []
    found = []
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        here = (*path, key)
        found += [(here, other) for other in OTHERS]
        found += _changes(inner, here)
    return found


def _changed(name: str, event: Any, path: tuple[Any, ...], other: Any) -> dict[str, Any] | None:
    changed = json.loads(json.dumps(event))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = other
    try:
        return record_of(name, changed)
    except Skipped:
        return None


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("event", [7, "text", None, [], True])
def test_what_is_no_object_is_no_event(name: str, event: Any) -> None:
    with pytest.raises(NotAnEvent):
        to_record(event, FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_an_event_of_another_format_is_not_recognised(name: str) -> None:
    assert not to_record({"foo": 1}, FORMATS[name]).is_recognised


def test_an_event_without_an_id_has_one_of_its_content() -> None:
    one, same, other = (
        record_of("github", event)["event_id"]
        for event in ({"action": "a", "n": 1}, {"n": 1, "action": "a"}, {"action": "a", "n": 2})
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.0Z"),
        ("2026-01-31 12:00:00.123456789", "2026-01-31T12:00:00.123456Z"),
        ("2026-01-31T12:00:00,5+0200", "2026-01-31T12:00:00.5+02:00"),
        (1_769_860_800, "2026-01-31T12:00:00Z"),
        (1_769_860_800_123, "2026-01-31T12:00:00.123000Z"),
        (1_769_860_800_123_456, "2026-01-31T12:00:00.123456Z"),
        (1_769_860_800_123_456_789, "2026-01-31T12:00:00.123456Z"),
        ("1769860800123", "2026-01-31T12:00:00.123000Z"),
    ],
)
def test_times_come_in_as_products_write_them(time: Any, expected: str) -> None:
    assert record_of("github", {"action": "a", "@timestamp": time})["occurred_at"] == expected


@pytest.mark.parametrize(
    "time", ["yesterday", "0001-01-01T00:00:00Z", "2026-13-01T00:00:00Z", 1e300, 33_000_000_000, None]
)
def test_a_time_that_the_service_does_not_take_is_left_out_and_noted(time: Any) -> None:
    record = record_of("github", {"action": "a", "@timestamp": time})
    assert "occurred_at" not in record
    assert "occurred_at" in record["details"]["_import"]


@pytest.mark.parametrize(
    ("name", "event", "field", "expected"),
    [
        ("cloudtrail", {"errorCode": "AccessDenied"}, "status", "failure"),
        ("cloudtrail", {"responseElements": {"ConsoleLogin": "Failure"}}, "status", "failure"),
        ("cloudtrail", {"userIdentity": {"type": "AWSService", "invokedBy": "ec2"}}, "actor_type", "service"),
        ("github", {"actor": "dependabot[bot]"}, "actor_type", "service"),
        ("github", {"conclusion": "failure"}, "status", "failure"),
        ("kubernetes", {"responseStatus": {"code": 403}, "stage": "ResponseComplete"}, "status", "failure"),
        ("kubernetes", {"stage": "RequestReceived"}, "status", "pending"),
        ("kubernetes", {"user": {"username": "system:serviceaccount:a:b"}}, "actor_type", "service"),
        ("kubernetes", {"user": {"username": "system:kube-scheduler"}}, "actor_type", "system"),
        ("kubernetes", {}, "actor_type", "anonymous"),
        ("okta", {"outcome": {"result": "DENY"}}, "status", "failure"),
        ("okta", {"outcome": {"result": "CHALLENGE"}}, "status", "pending"),
        ("okta", {"actor": {"type": "SystemPrincipal", "id": "s"}}, "actor_type", "system"),
        ("google-cloud", {"protoPayload": {"status": {"code": 7}}}, "status", "failure"),
        ("google-cloud", {"operation": {"id": "o", "first": True}}, "status", "pending"),
        (
            "google-cloud",
            {"protoPayload": {"authenticationInfo": {"principalEmail": "a@b.iam.gserviceaccount.com"}}},
            *("actor_type", "service"),
        ),
        ("azure-activity", {"status": {"value": "Started"}}, "status", "pending"),
        ("azure-activity", {"resultType": "Failure"}, "status", "failure"),
        ("azure-activity", {"caller": "c44b4083-3bd0-49c1-b47d-974e53cbdf3c"}, "actor_type", "service"),
        ("azure-activity", {}, "actor_type", "system"),
        ("auth0", {"type": "fp"}, "status", "failure"),
        ("auth0", {"type": "limit_wc"}, "status", "failure"),
        ("auth0", {"type": "flows_execution_completed"}, "status", "success"),
        ("auth0", {"type": "s", "client_id": "c"}, "actor_type", "service"),
        ("ocsf", {"status_id": 2}, "status", "failure"),
        ("ocsf", {"actor": {"user": {"type_id": 3, "uid": "s"}}}, "actor_type", "system"),
        ("cloudevents", {"authtype": "user", "authid": "u-1"}, "actor_type", "user"),
    ],
)
def test_statuses_and_actors_are_told_apart(name: str, event: dict[str, Any], field: str, expected: str) -> None:
    assert record_of(name, event)[field] == expected


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("cloudtrail", {"EventId": "x", "CloudTrailEvent": '{"eventName": "A", "eventID": "e-1"}'}),
        ("cloudtrail", {"id": "x", "message": '{"eventName": "A", "eventID": "e-1"}'}),
        ("cloudtrail", {"id": "x", "detail-type": "AWS API Call", "detail": {"eventName": "A", "eventID": "e-1"}}),
        ("auth0", {"log_id": "e-1", "data": {"type": "A", "log_id": "e-1"}}),
    ],
)
def test_an_event_is_taken_out_of_its_wrapper(name: str, wrapped: dict[str, Any]) -> None:
    record = record_of(name, wrapped)
    assert (record["action"], record["event_id"]) == ("A", "e-1")
    assert "EventId" not in record["details"]


def test_long_names_and_ids_are_shortened_and_stay_different() -> None:
    one, other = (
        record_of("kubernetes", {"verb": "v" * 300 + end, "requestURI": "é" * 3_000 + end, "auditID": "a" * 300 + end})
        for end in "xy"
    )
    assert all(one[field] != other[field] for field in ("action", "entity_id", "event_id"))
    assert len(one["action"]) == len(one["event_id"]) == 256
    assert len(one["entity_id"].encode()) <= 2_000
