"""Strict JSON bodies: read within a limit, of the right media type, and parsed by `src/json_parser.py`."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from src import json_parser
from src.exceptions import PayloadTooLarge, UnsupportedMediaType

_MEDIA_TYPE_HINT = "Send the body as Content-Type: application/json, without a Content-Encoding."


class StrictJSONRoute(APIRoute):
    """A route whose body, where it takes one, is read within `max_body_bytes` and parsed strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_strictly(request: Request) -> Response:
            body = await _read(request, self.max_body_size or request.app.state.settings.max_body_bytes)
            if body:
                _require_json(request)
            return await handle(_ParsedRequest(request, body, json_parser.parse(body) if body else None))

        return handle_strictly


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
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType(_MEDIA_TYPE_HINT)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(_MEDIA_TYPE_HINT)
