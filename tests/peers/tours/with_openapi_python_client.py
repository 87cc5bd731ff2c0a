"""openapi-python-client: a package of models and functions."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from audit_trail_client import Client
from audit_trail_client.api.audits import (
    audits_create_audit,
    audits_create_audit_batch,
    audits_export_audits,
    audits_list_audits,
    audits_patch_audit,
    audits_read_audit,
)
from audit_trail_client.models import AuditBatch, AuditCreate, AuditPatch, AuditStatus, BatchMode
from audit_trail_client.types import Response
from tour import URL, Answer, Object, tour


def answer(response: Response[Any]) -> Answer:
    parsed = response.parsed
    return Answer(response.status_code, parsed.to_dict() if parsed else {})


class Generated:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def create(self, record: Object) -> Answer:
        return answer(
            await audits_create_audit.asyncio_detailed(client=self.client, body=AuditCreate.from_dict(record))
        )

    async def create_batch(self, items: Sequence[Object], idempotency_key: str, mode: str) -> Answer:
        body = AuditBatch.from_dict({"items": items})
        return answer(
            await audits_create_audit_batch.asyncio_detailed(
                client=self.client, body=body, idempotency_key=idempotency_key, mode=BatchMode(mode)
            )
        )

    async def list(self, query: Object) -> Answer:
        typed = {**query, "status": [AuditStatus(status) for status in query.get("status", [])]}
        return answer(await audits_list_audits.asyncio_detailed(client=self.client, **typed))

    async def read(self, audit_id: str, if_none_match: str) -> Answer:
        return answer(
            await audits_read_audit.asyncio_detailed(UUID(audit_id), client=self.client, if_none_match=if_none_match)
        )

    async def patch(self, audit_id: str, changes: Object, if_match: str) -> Answer:
        body = AuditPatch.from_dict(changes)
        return answer(
            await audits_patch_audit.asyncio_detailed(UUID(audit_id), client=self.client, body=body, if_match=if_match)
        )

    async def export_lines(self, query: Object) -> str:
        lines = await audits_export_audits.asyncio(client=self.client, **query)
        assert isinstance(lines, str)
        return lines


async def main() -> None:
    async with Client(base_url=URL) as client:
        await tour(Generated(client))


asyncio.run(main())
