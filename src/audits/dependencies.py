"""What the paths of the audits domain name, looked up once."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from src.audits import service
from src.audits.schemas import Audit
from src.dependencies import StatementDep

AuditId = Annotated[UUID, Path(description="The id that the service gave to the record.")]


async def valid_audit(audit_id: AuditId, connection: StatementDep) -> Audit:
    return await service.get(connection, audit_id)


ValidAudit = Annotated[Audit, Depends(valid_audit)]
"""The record that the path names; 404 where there is none. For reads: a write decides that in its own statement."""
