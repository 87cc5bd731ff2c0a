"""The endpoints of the audits domain: HTTP on one side, one call of the service on the other."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from src import problems
from src.audits import service
from src.audits.dependencies import AuditId, ValidAudit
from src.audits.exceptions import AuditNotFound
from src.audits.schemas import (
    Audit,
    AuditCreate,
    AuditDeleted,
    AuditPage,
    AuditPatch,
    AuditQuery,
    AuditReplace,
)
from src.config import API_PREFIX
from src.dependencies import StatementDep, StrictQuery
from src.exceptions import ValidationFailed
from src.strict_json import StrictJSONRoute

router = APIRouter(
    prefix=f"{API_PREFIX}/audits",
    tags=["audits"],
    route_class=StrictJSONRoute,
    dependencies=[StrictQuery],
    responses=problems.documented(*problems.DATABASE_ERRORS),
)


@router.post(
    "",
    status_code=201,
    summary="Record who did what to which entity",
    response_description="The record as it was stored.",
    responses=problems.documented(*problems.BODY_ERRORS),
)
async def create_audit(record: AuditCreate, connection: StatementDep, response: Response) -> Audit:
    """`occurred_at` is now where it is left out; `id`, `recorded_at`, `updated_at` and `version` are the service's."""
    audit = await service.create(connection, record)
    response.headers["Location"] = f"{router.prefix}/{audit.id}"
    return audit


@router.get("", summary="List records", responses=problems.documented(ValidationFailed))
async def list_audits(query: Annotated[AuditQuery, Query()], connection: StatementDep) -> AuditPage:
    """Newest first, 20 by default and 50 at most. Filters are combined with AND, the values of one filter with OR."""
    return await service.find(connection, query)


@router.get("/{audit_id:uuid}", summary="Read a record", responses=problems.documented(AuditNotFound, ValidationFailed))
async def read_audit(audit: ValidAudit) -> Audit:
    """The record as it stands."""
    return audit


@router.put(
    "/{audit_id:uuid}",
    summary="Replace a record",
    responses=problems.documented(AuditNotFound, *problems.BODY_ERRORS),
)
async def replace_audit(audit_id: AuditId, record: AuditReplace, connection: StatementDep) -> Audit:
    """The whole record is replaced: what is left out takes its default, and `occurred_at` is required."""
    return await service.replace(connection, audit_id, record)


@router.patch(
    "/{audit_id:uuid}",
    summary="Change some fields of a record",
    responses=problems.documented(AuditNotFound, *problems.BODY_ERRORS),
)
async def patch_audit(audit_id: AuditId, changes: AuditPatch, connection: StatementDep) -> Audit:
    """Each given field is replaced as a whole, the others stay as they are."""
    return await service.patch(connection, audit_id, changes)


@router.delete(
    "/{audit_id:uuid}", summary="Remove a record", responses=problems.documented(AuditNotFound, ValidationFailed)
)
async def delete_audit(audit_id: AuditId, connection: StatementDep) -> AuditDeleted:
    """Afterwards the record is 404."""
    return await service.remove(connection, audit_id)
