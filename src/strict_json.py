"""Strict JSON bodies: read within a limit, of the right media type, and parsed by `src/json_parser.py`."""

import re
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from src import json_parser
from src.exceptions import PayloadTooLarge, UnsupportedMediaType


class StrictJSONRoute(APIRoute):
    """A route whose body, where it takes one, is read within a limit and parsed strictly."""

    limit_setting = "max_body_bytes"

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            body = await _read(request, getattr(request.app.state.settings, self.limit_setting))
            if body:
                _require_json(request)
            return await handle(_ParsedRequest(request, body, json_parser.parse(body) if body else None))

        return handle_strictly


class BatchJSONRoute(StrictJSONRoute):
    """The same with the limit of a batch, for `add_api_route(..., route_class_override=...)`."""

    limit_setting = "max_batch_body_bytes"


class _ParsedRequest(Request):
    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._bytes, self._value = body, value

    async def body(self) -> bytes:
        return self._bytes

    async def json(self) -> Any:
        return self._value


async def _read(request: Request, limit: int) -> bytes:
    """The body, counted as it arrives: `Content-Length` can be absent or wrong."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(f"At most {limit} bytes are accepted.")
        chunks.append(chunk)
    return b"".join(chunks)


def _require_json(request: Request) -> None:
    content_type = Message()
    # Several are malformed, and of no type.
    content_type["content-type"] = ", ".join(request.headers.getlist("content-type"))
    is_json = re.fullmatch(r"application/([^/+]+\+)*json", content_type.get_content_type())
    is_utf8 = str(content_type.get_param("charset", "utf-8")).lower() in ("utf-8", "utf8")
    is_plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    if not (is_json and is_utf8 and is_plain):
        raise UnsupportedMediaType("Send the body as Content-Type: application/json, in UTF-8, not encoded further.")
