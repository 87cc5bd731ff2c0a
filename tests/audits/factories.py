"""Audit records for tests."""

from typing import Any

import httpx2

AUDITS = "/api/v1/audits"


def audit_body(**changes: Any) -> dict[str, Any]:
    """A body that `POST /audits` accepts: the required fields, with `changes`."""
    return {"action": "invoice.update", "entity_type": "invoice", "entity_id": "INV-1", "actor_id": "u-1"} | changes


async def create_audit(client: httpx2.AsyncClient, **changes: Any) -> dict[str, Any]:
    response = await client.post(AUDITS, json=audit_body(**changes))
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created
