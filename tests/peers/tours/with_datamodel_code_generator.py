"""datamodel-code-generator: Pydantic models, here with httpx."""

import asyncio
from collections.abc import Sequence

import httpx
from audit_trail_models import (
    Audit,
    AuditBatch,
    AuditBatchCreated,
    AuditBatchOutcomes,
    AuditCreate,
    AuditPage,
    AuditPatch,
    Problem,
)
from pydantic import BaseModel
from tour import URL, Answer, Object, tour

AUDITS = "/api/v1/audits"


def sent(model: type[BaseModel], value: Object) -> Object:
    """The body of a request. What was left out stays out: the models have None for it, which can mean another thing."""
    return model.model_validate(value).model_dump(mode="json", exclude_unset=True)


def answer(response: httpx.Response, model: type[BaseModel]) -> Answer:
    if not response.content:
        return Answer(response.status_code, {})
    held = model if response.is_success else Problem
    return Answer(response.status_code, held.model_validate_json(response.content).model_dump(mode="json"))


class Models:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def create(self, record: Object) -> Answer:
        return answer(await self.client.post(AUDITS, json=sent(AuditCreate, record)), Audit)

    async def create_batch(self, items: Sequence[Object], idempotency_key: str, mode: str) -> Answer:
        body, headers = sent(AuditBatch, {"items": items}), {"Idempotency-Key": idempotency_key}
        response = await self.client.post(f"{AUDITS}/batch", params={"mode": mode}, json=body, headers=headers)
        return answer(response, AuditBatchOutcomes if mode == "partial" else AuditBatchCreated)

    async def list(self, query: Object) -> Answer:
        return answer(await self.client.get(AUDITS, params=query), AuditPage)

    async def read(self, audit_id: str, if_none_match: str) -> Answer:
        headers = {"If-None-Match": if_none_match}
        return answer(await self.client.get(f"{AUDITS}/{audit_id}", headers=headers), Audit)

    async def patch(self, audit_id: str, changes: Object, if_match: str) -> Answer:
        body, headers = sent(AuditPatch, changes), {"If-Match": if_match}
        return answer(await self.client.patch(f"{AUDITS}/{audit_id}", json=body, headers=headers), Audit)

    async def export_lines(self, query: Object) -> str:
        return (await self.client.get(f"{AUDITS}/export", params=query)).text


async def main() -> None:
    async with httpx.AsyncClient(base_url=URL) as client:
        await tour(Models(client))


asyncio.run(main())
