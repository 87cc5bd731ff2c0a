"""The bodies and queries of the audits API."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import MISSING, AwareDatetime, BeforeValidator, Field, model_validator

from src.audits.constants import (
    MAX_DETAILS_BYTES,
    MAX_DETAILS_DEPTH,
    MAX_ID_BYTES,
    PREFIX_MARK,
    ActorType,
    AuditStatus,
    ExportFormat,
    Operation,
)
from src.audits.field_types import (
    ContainedDetails,
    CorrelationId,
    Details,
    DetailsFilter,
    EventText,
    Id,
    Name,
    NameFilter,
    OccurredAt,
    as_list,
)
from src.pagination import COUNT_CAP, Count, Order, Page, PageQuery
from src.schemas import CustomModel, PatchModel, UTCDateTime, example

EXAMPLE_BODY: dict[str, Any] = {
    "action": "invoice.update",
    "entity_type": "invoice",
    "entity_id": "INV-2026-0042",
    "actor_type": "user",
    "actor_id": "u-17",
    "status": "success",
    "details": {"amount": {"from": 100, "to": 120}},
    "correlation_id": "req-7f3a",
    "occurred_at": "2026-01-31T12:00:00Z",
}
_EXAMPLE_EVENT = {"source": "https://billing.example.com", "event_id": "evt-2026-0042"}
EXAMPLE_RECORD: dict[str, Any] = EXAMPLE_BODY | {
    "id": "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    "recorded_at": "2026-01-31T12:00:00.250000Z",
    "updated_at": "2026-01-31T12:00:00.250000Z",
    "version": 1,
    **_EXAMPLE_EVENT,
}
_EXAMPLE_REVISION = {
    "version": 1,
    "operation": "create",
    "changed_at": "2026-01-31T12:00:00.250000Z",
    "changed_by": "u-17",
    "reason": None,
    "record": EXAMPLE_RECORD,
    "previous_hash": None,
    "hash": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
}
_EXAMPLE_PAGE = {"limit": 20, "offset": 0, "total": 1, "total_relation": "eq", "next_cursor": None}


_NAME_RULE = f"Any text that does not end in `{PREFIX_MARK}` and has no space at either end."
_ID_RULE = f"At most {MAX_ID_BYTES:,} bytes as UTF-8."


class _AuditFields(CustomModel):
    action: Name = Field(description=f"What was done. {_NAME_RULE}", examples=["invoice.update"])
    entity_type: Name = Field(description=f"What kind of thing it was done to. {_NAME_RULE}", examples=["invoice"])
    entity_id: Id = Field(description=f"Which one of its kind. {_ID_RULE}", examples=["INV-2026-0042"])
    actor_type: ActorType = Field(ActorType.USER, description="What kind of actor did it.")
    actor_id: Id = Field(description=f"Which actor. {_ID_RULE}", examples=["u-17"])
    status: AuditStatus = Field(AuditStatus.SUCCESS, description="How it ended.")
    details: Details = Field(
        default={},
        description=(
            f"Anything else: at most {MAX_DETAILS_DEPTH} levels, and {MAX_DETAILS_BYTES} bytes as PostgreSQL prints it."
        ),
        examples=[{"amount": {"from": 100, "to": 120}}],
    )
    correlation_id: CorrelationId | None = Field(None, description="What it belongs to, e.g. a request.")


class AuditCreate(_AuditFields):
    model_config = example(EXAMPLE_BODY | _EXAMPLE_EVENT)

    occurred_at: OccurredAt | MISSING = Field(
        MISSING, description="When it was done; now, if left out.", examples=["2026-01-31T12:00:00Z"]
    )
    source: EventText | None = Field(
        None,
        description="The producer of the event that this records. With `event_id`: one event is recorded only once.",
        examples=[_EXAMPLE_EVENT["source"]],
    )
    event_id: EventText | None = Field(
        None, description="The producer's own id of that event.", examples=[_EXAMPLE_EVENT["event_id"]]
    )

    @model_validator(mode="after")
    def both_or_neither(self) -> Self:
        if (self.source is None) != (self.event_id is None):
            raise ValueError("source and event_id belong together: send both, or neither")
        return self


class AuditReplace(_AuditFields):
    """The whole record: fields that are left out take their defaults."""

    model_config = example(EXAMPLE_BODY)

    occurred_at: OccurredAt = Field(description="When it was done.", examples=["2026-01-31T12:00:00Z"])


class AuditPatch(PatchModel):
    """The fields to change, each as a whole: `details` is replaced, not merged."""

    model_config = example({"status": "failure"})

    occurred_at: OccurredAt | MISSING = MISSING
    action: Name | MISSING = MISSING
    entity_type: Name | MISSING = MISSING
    entity_id: Id | MISSING = MISSING
    actor_type: ActorType | MISSING = MISSING
    actor_id: Id | MISSING = MISSING
    status: AuditStatus | MISSING = MISSING
    details: Details | MISSING = MISSING
    correlation_id: CorrelationId | MISSING | None = MISSING


class Audit(CustomModel):
    """A record in its current version."""

    model_config = example(EXAMPLE_RECORD)

    id: UUID
    occurred_at: AwareDatetime
    recorded_at: AwareDatetime = Field(description="When the service recorded it.")
    updated_at: AwareDatetime = Field(description="When it was last changed.")
    action: str
    entity_type: str
    entity_id: str
    actor_type: ActorType
    actor_id: str
    status: AuditStatus
    details: dict[str, Any]
    correlation_id: str | None
    version: int = Field(description="1 for a new record; each change adds 1.")
    # A revision from before these were recorded has neither.
    source: str | None = Field(None, description="The producer of the event that this records.")
    event_id: str | None = Field(None, description="The producer's own id of that event.")


class AuditDeleted(CustomModel):
    model_config = example({"id": EXAMPLE_RECORD["id"], "version": 2, "deleted_at": "2026-02-01T08:00:00Z"})

    id: UUID
    version: int = Field(description="The version that the deletion made.")
    deleted_at: datetime


class AuditFilter(CustomModel):
    """Selects the records that match every filter; a filter with several values matches any of them."""

    action: Annotated[list[NameFilter], BeforeValidator(as_list)] = Field(
        default=[], description="A name, or a prefix such as `invoice.*`."
    )
    entity_type: Annotated[list[NameFilter], BeforeValidator(as_list)] = Field(
        default=[], description="A name, or a prefix such as `Microsoft.*`."
    )
    entity_id: Annotated[list[Id], BeforeValidator(as_list)] = Field(default=[], description=_ID_RULE)
    actor_type: ActorType | None = None
    actor_id: Annotated[list[Id], BeforeValidator(as_list)] = Field(default=[], description=_ID_RULE)
    status: Annotated[list[AuditStatus], BeforeValidator(as_list)] = Field(default=[])
    correlation_id: CorrelationId | None = None
    source: EventText | None = None
    event_id: EventText | None = None
    occurred_from: UTCDateTime | None = Field(None, description="At this time or later.")
    occurred_to: UTCDateTime | None = Field(None, description="Before this time.")
    details: DetailsFilter | None = Field(
        None, description="A JSON object, as text, that the record's details contain."
    )


def _as_list(value: Any) -> Any:
    return [] if value is None else as_list(value)


_SelectedIds = Annotated[list[Id], BeforeValidator(_as_list, json_schema_input_type=list[Id] | Id | None)]


class AuditSelection(AuditFilter):
    """The filters as a JSON object, in which filters that take several values are lists."""

    action: list[NameFilter] = Field(default=[], description=AuditFilter.model_fields["action"].description)
    # Earlier releases had one text or null in these three, which is still accepted. The document names no default: with
    # a list for what can be a text too, generators of clients make code that does not compile.
    entity_type: Annotated[
        list[NameFilter], BeforeValidator(_as_list, json_schema_input_type=list[NameFilter] | NameFilter | None)
    ] = Field(default_factory=list, description=AuditFilter.model_fields["entity_type"].description)
    entity_id: _SelectedIds = Field(default_factory=list, description=_ID_RULE)
    actor_id: _SelectedIds = Field(default_factory=list, description=_ID_RULE)
    status: list[AuditStatus] = Field(default=[])
    details: ContainedDetails | None = Field(None, description="What the record's details contain.")


class AuditQuery(AuditFilter, PageQuery):
    order: Order = Field(Order.DESC, description="By `occurred_at`, then `id`.")
    count: Count = Field(Count.CAPPED, description=f"`capped` counts to {COUNT_CAP}; `none` does not count.")


class HistoryQuery(PageQuery):
    """Selects a page of a record's revisions."""


class ExportQuery(AuditFilter):
    format: ExportFormat = Field(ExportFormat.NDJSON, description="`ocsf` is NDJSON of OCSF events.")
    order: Order = Field(Order.DESC, description="By `occurred_at`, then `id`.")
    csv_guard: bool = Field(
        True,
        description=(
            "In CSV, put an apostrophe before text that a spreadsheet would run as a formula; "
            "false writes each text as it is."
        ),
    )
    summary: bool = Field(
        False,
        description=(
            "End with a line that says that the export is complete: "
            '`{"complete": true, "records": 2, "sha256": "..."}`; in CSV it begins with `# `. '
            "`sha256`, in hexadecimal, is the hash of all bytes before that line."
        ),
    )


class AuditPage(Page[Audit]):
    model_config = example({"items": [EXAMPLE_RECORD], **_EXAMPLE_PAGE})


class AuditRevision(CustomModel):
    """A version of a record, and the change that made it."""

    model_config = example(_EXAMPLE_REVISION)

    version: int
    operation: Operation
    changed_at: AwareDatetime
    changed_by: str | None = Field(description="`X-Actor-Id` of the change.")
    reason: str | None = Field(description="`X-Change-Reason` of the change.")
    record: Audit = Field(description="The record after the change; of a deletion, its last state.")
    previous_hash: str | None = Field(description="`hash` of the version before; null for the first.")
    hash: str = Field(description="SHA-256, in hexadecimal digits, over this revision and `previous_hash`.")


class AuditHistory(Page[AuditRevision]):
    model_config = example({"items": [_EXAMPLE_REVISION], **_EXAMPLE_PAGE})
