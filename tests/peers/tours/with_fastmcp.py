"""FastMCP: a server of the Model Context Protocol, whose tools are the operations, and a client of it."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import httpx2
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers.openapi import OpenAPITool
from fastmcp.utilities.openapi import HTTPRoute
from mcp.types import TextContent
from tour import URL, Answer, Object, tour


class DetailsAsText(Middleware):
    """A query has `details` as JSON text; of an object, which a model may give, FastMCP makes parameters."""

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        arguments = context.message.arguments or {}
        in_query = context.message.name in ("audits_list_audits", "audits_export_audits")
        if in_query and isinstance(arguments.get("details"), dict):
            arguments["details"] = json.dumps(arguments["details"])
        return await call_next(context)


def without_structure(route: HTTPRoute, component: Any) -> None:
    """What is no JSON is answered as text, and a partial batch with another model than the tool has."""
    if isinstance(component, OpenAPITool) and route.path.endswith(("/export", "/stream", "/batch")):
        component.output_schema = None


class Tools:
    def __init__(self, client: Client[Any]) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> Answer:
        try:
            result = await self.client.call_tool(tool, arguments)
        except ToolError as error:
            status, problem = re.findall(r"HTTP error (\d+): [^{]*({.*)?", str(error))[0]
            return Answer(int(status), json.loads(problem or "{}"))
        return Answer(200, result.structured_content or {})

    async def create(self, record: Object) -> Answer:
        return await self.call("audits_create_audit", **record)

    async def create_batch(self, items: Sequence[Object], idempotency_key: str, mode: str) -> Answer:
        key = {"Idempotency-Key": idempotency_key}
        return await self.call("audits_create_audit_batch", items=items, mode=mode, **key)

    async def list(self, query: Object) -> Answer:
        as_objects = {"details": json.loads(query["details"])} if "details" in query else {}
        return await self.call("audits_list_audits", **query | as_objects)

    async def read(self, audit_id: str, if_none_match: str) -> Answer:
        return await self.call("audits_read_audit", audit_id=audit_id, **{"If-None-Match": if_none_match})

    async def patch(self, audit_id: str, changes: Object, if_match: str) -> Answer:
        return await self.call("audits_patch_audit", audit_id=audit_id, **changes, **{"If-Match": if_match})

    async def export_lines(self, query: Object) -> str:
        result = await self.client.call_tool("audits_export_audits", query)
        assert isinstance(result.content[0], TextContent)
        return result.content[0].text


async def main() -> None:
    async with httpx2.AsyncClient(base_url=URL) as http:
        document = (await http.get("/openapi.json")).json()
        server = FastMCP.from_openapi(document, http, mcp_component_fn=without_structure, middleware=[DetailsAsText()])
        async with Client(server) as client:
            await tour(Tools(client))


asyncio.run(main())
