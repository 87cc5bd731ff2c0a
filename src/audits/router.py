"""The endpoints of the audits domain. Each reads the request, calls the service once and writes the response."""

import json
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from src.audits import service
from src.audits.aggregate_schemas import Facets, FacetsQuery, Histogram, HistogramQuery, Values, ValuesQuery
from src.audits.batch_schemas import AuditBatch, AuditBatchCreated, AuditBatchOutcomes
from src.audits.constants import FIRST_VERSION, MEDIA_TYPES, PATH, ExportFormat
from src.audits.creation import Created
from src.audits.dependencies import AttributionDep, AuditId, IdempotencyDep, ValidAudit
from src.audits.exceptions import AuditNotFound, EventAlreadyRecorded, IdempotencyKeyReused
from src.audits.idempotency import Item
from src.audits.schemas import (
    EXAMPLE_BODY,
    EXAMPLE_RECORD,
    Audit,
    AuditCreate,
    AuditDeleted,
    AuditHistory,
    AuditPage,
    AuditPatch,
    AuditQuery,
    AuditReplace,
    ExportQuery,
    HistoryQuery,
)
from src.audits.statements import StoredAudit
from src.batches import BatchMode
from src.etags import etag
from src.exceptions import AppError, Conflict, MalformedGzip, VersionMismatch
from src.pagination import links
from src.shaped import Shaped, json_array
from src.web import bodies, openapi, problems
from src.web.dependencies import AutocommitDep, BoundedReadsDep, IfMatchDep, IfNoneMatch, SnapshotDep, not_modified
from src.web.responses import ShapedJSON
from src.web.routes import BatchJSONRoute, StrictJSONRoute
from src.web.waiting import leave_place

_UNAVAILABLE = problems.documented(*problems.DATABASE_ERRORS)

router = APIRouter(prefix=PATH, tags=["audits"], route_class=StrictJSONRoute, responses=_UNAVAILABLE)
batch_router = APIRouter(prefix=PATH, tags=["audits"], route_class=BatchJSONRoute, responses=_UNAVAILABLE)
"""The router for batches, whose bodies may be larger."""


_REPLAYED = openapi.header(
    "Idempotency-Replayed",
    "`true`: nothing was created; this is an earlier answer, or the record of an event that was recorded before.",
)
_CREATION_ERRORS = (*problems.BODY_ERRORS, EventAlreadyRecorded, Conflict, IdempotencyKeyReused)
_CREATION_HEADERS = openapi.LOCATION | openapi.ETAG | _REPLAYED
_CREATED = openapi.describe(*_CREATION_ERRORS, status=201, headers=_CREATION_HEADERS)
_CREATED[200] = {
    "model": Audit,
    "description": "The event was recorded before: its record as it was created.",
    "headers": _CREATION_HEADERS,
}
_CREATED_BATCH = openapi.describe(MalformedGzip, *_CREATION_ERRORS, status=201, headers=_REPLAYED)
_CREATED_BATCH[200] = {
    "model": AuditBatchCreated,
    "description": "Every event was recorded before: their records as they were created.",
    "headers": _REPLAYED,
}
_CREATED_BATCH[207] = {
    "model": AuditBatchOutcomes,
    "description": "What became of each item of a partial batch.",
    "headers": _REPLAYED,
}
_AS_LINES = openapi.also_takes(
    bodies.LINES,
    "A record a line; blank lines are skipped.",
    f"{json.dumps(EXAMPLE_BODY)}\n{json.dumps(EXAMPLE_BODY)}\n",
)
_CHANGED = openapi.describe(AuditNotFound, VersionMismatch, *problems.BODY_ERRORS, headers=openapi.ETAG)
_READ = openapi.NOT_MODIFIED | openapi.describe(AuditNotFound, headers=openapi.ETAG)
_EXPORTED = openapi.describe(headers=openapi.header("Content-Disposition", "`attachment`, with the name of the file."))
_EXPORTED[200]["content"] = {
    MEDIA_TYPES[ExportFormat.NDJSON]: {"schema": {"type": "string"}, "example": f"{json.dumps(EXAMPLE_RECORD)}\n"},
    MEDIA_TYPES[ExportFormat.CSV]: {"schema": {"type": "string"}, "example": f"{','.join(Audit.model_fields)}\r\n"},
}


@router.get("/{audit_id:uuid}", summary="Read a record", response_model=Audit, responses=_READ)
async def read_audit(audit: ValidAudit, if_none_match: IfNoneMatch = None, *, request: Request) -> Response:
    """The record in its current version."""
    return not_modified(request, if_none_match, audit.value.version) or _answer(audit)


def _answer(audit: Shaped[StoredAudit]) -> ShapedJSON:
    return ShapedJSON(audit.json, headers={"etag": etag(audit.value.version)})


@router.get("", summary="List records", response_model=AuditPage, responses=openapi.describe(headers=openapi.LINK))
async def list_audits(query: Annotated[AuditQuery, Query()], connection: AutocommitDep, request: Request) -> Response:
    """Newest first, 20 by default and 50 at most. Filters are combined with AND, the values of one filter with OR.

    Follow `next_cursor`, or the link `next`, to read all records. While others are created and removed, a record that
    exists throughout is neither skipped nor repeated.
    """
    page = await service.find(connection, query)
    return ShapedJSON(page.json, headers={"link": links(request.scope["path"], query, page.next_cursor)})


@router.post(
    "", status_code=201, summary="Record who did what to which entity", response_model=Audit, responses=_CREATED
)
async def create_audit(
    record: AuditCreate,
    connection: AutocommitDep,
    attribution: AttributionDep,
    idempotent: IdempotencyDep,
    request: Request,
) -> Response:
    """`occurred_at` defaults to now. The service sets `id`, `recorded_at`, `updated_at` and `version`.

    An event with `source` and `event_id` is recorded once. Sent again, it gets 200 and the record as it was created.
    """
    created = await service.create(connection, record, attribution, idempotent)
    (item,) = created.items
    headers = {"location": f"{request.scope['path']}/{item.id}", "etag": etag(FIRST_VERSION)}
    return ShapedJSON(item.record, _status(created), headers | _replayed_header(created))


@batch_router.post(
    "/batch",
    status_code=201,
    summary="Record many at once",
    response_model=AuditBatchCreated,
    responses=_CREATED_BATCH,
    openapi_extra=_AS_LINES,
)
async def create_audit_batch(
    batch: AuditBatch,
    connection: AutocommitDep,
    attribution: AttributionDep,
    idempotent: IdempotencyDep,
    request: Request,
    mode: Annotated[BatchMode, Query(description="`atomic`: all records or none; `partial`: those that are valid.")] = (
        BatchMode.ATOMIC
    ),
) -> Response:
    """Up to 1,000 records: the service creates all of them or none. `errors` names each invalid record by its index.

    Events that were recorded before, by `source` and `event_id`, are not recorded again.

    With `mode=partial` it creates all that are valid, and the answer is 207: for each item, in order, its record or its
    problem.

    NDJSON is the same batch with a record a line. Both may be sent with `Content-Encoding: gzip`.
    """
    if mode is BatchMode.PARTIAL:
        describe = partial(_describe_refusal, request)
        created = await service.create_partial_batch(connection, batch, attribution, idempotent, describe)
        return ShapedJSON(_list_outcomes(created), 207, _replayed_header(created))
    created = await service.create_batch(connection, batch.items, attribution, idempotent)
    items = json_array(item.record for item in created.items)
    body = f'{{"items":{items},"count":{len(created.items)},"created":{created.count}}}'
    return ShapedJSON(body, _status(created), _replayed_header(created))


def _status(created: Created) -> int:
    return 201 if created.count else 200


def _describe_refusal(request: Request, error: AppError) -> str:
    return f'{{"status":{error.status},"problem":{problems.document(error, request.scope).decode()}}}'


def _list_outcomes(created: Created) -> str:
    items = [item.problem or _describe_record(item) for item in created.items]
    refused = sum(item.problem is not None for item in created.items)
    return f'{{"items":{json_array(items)},"count":{len(items)},"created":{created.count},"refused":{refused}}}'


def _describe_record(item: Item) -> str:
    status, is_new = (201, "true") if item.created else (200, "false")
    return f'{{"status":{status},"created":{is_new},"record":{item.record}}}'


def _replayed_header(created: Created) -> dict[str, str]:
    return {"idempotency-replayed": "true"} if created.replayed else {}


@router.get(
    "/export", summary="Export records", response_class=StreamingResponse, responses=_EXPORTED, response_model=None
)
async def export_audits(query: Annotated[ExportQuery, Query()], connection: SnapshotDep) -> StreamingResponse:
    """Streams all matching records of one snapshot: as NDJSON, as CSV that is safe to open in a spreadsheet, or as
    events of the Open Cybersecurity Schema Framework (OCSF), class Entity Management.

    If an export fails in the middle, its last chunk is missing. A proxy or HTTP/1.0 can hide that: with `summary` a
    complete export ends with a line that says so.
    """
    return StreamingResponse(
        await service.export(connection, query),
        media_type=MEDIA_TYPES[query.format],
        headers={"Content-Disposition": f'attachment; filename="audits.{query.format}"'},
    )


@router.get("/histogram", summary="Count records by time", responses=openapi.describe())
async def read_histogram(
    query: Annotated[HistogramQuery, Query()], reads: BoundedReadsDep, request: Request
) -> Histogram:
    """What matches, in up to 120 buckets from `occurred_from` to `occurred_to`, or from the first to the last match.

    Up to 10,000 matches are counted. If there are more, or if it takes too long to find them, the answer is an
    estimate, which `relation` says.
    """
    leave_place(request)
    return await service.get_histogram(reads, query)


@router.get("/facets", summary="Count the commonest values of a field", responses=openapi.describe())
async def read_facets(query: Annotated[FacetsQuery, Query()], reads: BoundedReadsDep, request: Request) -> Facets:
    """The ten commonest values among what matches. Of more than 10,000 matches, a sample is counted."""
    leave_place(request)
    return await service.get_facets(reads, query)


@router.get("/values", summary="Suggest values of a field", responses=openapi.describe())
async def list_values(query: Annotated[ValuesQuery, Query()], reads: BoundedReadsDep, request: Request) -> Values:
    """The first 20 values with a prefix, in the order of their bytes."""
    leave_place(request)
    return await service.get_values(reads, query)


@router.put("/{audit_id:uuid}", summary="Replace a record", response_model=Audit, responses=_CHANGED)
async def replace_audit(
    audit_id: AuditId,
    record: AuditReplace,
    connection: AutocommitDep,
    attribution: AttributionDep,
    if_match: IfMatchDep,
) -> Response:
    """Replaces the whole record: fields that are left out take their defaults, and `occurred_at` is required.

    Without `If-Match` the last writer wins.
    """
    return _answer(await service.replace(connection, audit_id, record, attribution, if_match))


@router.patch("/{audit_id:uuid}", summary="Change some fields of a record", response_model=Audit, responses=_CHANGED)
async def patch_audit(
    audit_id: AuditId,
    changes: AuditPatch,
    connection: AutocommitDep,
    attribution: AttributionDep,
    if_match: IfMatchDep,
) -> Response:
    """Replaces each given field as a whole; the other fields stay as they are.

    Without `If-Match` the last writer wins, field by field.
    """
    return _answer(await service.patch(connection, audit_id, changes, attribution, if_match))


@router.delete(
    "/{audit_id:uuid}", summary="Remove a record", responses=openapi.describe(AuditNotFound, VersionMismatch)
)
async def delete_audit(
    audit_id: AuditId, connection: AutocommitDep, attribution: AttributionDep, if_match: IfMatchDep
) -> AuditDeleted:
    """Afterwards the record answers 404; its history stays."""
    return await service.remove(connection, audit_id, attribution, if_match)


@router.get(
    "/{audit_id:uuid}/history",
    summary="Read a record's history",
    response_model=AuditHistory,
    responses=openapi.describe(AuditNotFound, headers=openapi.LINK),
)
async def list_audit_history(
    audit_id: AuditId,
    query: Annotated[HistoryQuery, Query()],
    connection: AutocommitDep,
    request: Request,
) -> Response:
    """Every version of the record, newest first. The history of a removed record stays readable."""
    page = await service.get_history(connection, audit_id, query)
    # A snapshot is shown with the members that it was hashed with; older ones have fewer.
    shown = page.model_dump_json(exclude_unset=True)
    return ShapedJSON(shown, headers={"link": links(request.scope["path"], query, page.next_cursor)})
