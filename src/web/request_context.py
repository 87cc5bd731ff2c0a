"""The outermost middleware: the id of each request, the headers that every answer has, and the access log."""

import logging
import re
import time
from collections.abc import Iterable

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import log
from src.config import AppSettings
from src.identifiers import new_request_id
from src.web import root_path

access_logger = logging.getLogger("src.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# W3C Trace Context, 3.2: version, trace-id, parent-id, flags. Ids that are all zeros are invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

# The status that nginx logs when the client left before its answer; it is never sent.
CLIENT_CLOSED_REQUEST = 499

# RFC 9111, 5.2.2. A cache may keep an answer that has a version, if it revalidates it each time; it may keep no other.
NO_STORE = "no-store"
_CACHE_CONTROL = b"cache-control"
_REVALIDATE, _DO_NOT_STORE = (_CACHE_CONTROL, b"no-cache"), (_CACHE_CONTROL, NO_STORE.encode())


class RequestContextMiddleware:
    """Gives each request an id, returns it in `X-Request-ID`, and writes one access line when the request has ended.

    Adds `Cache-Control` to each answer that has none.
    """

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        self.root_path = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.root_path:
            root_path.complete(scope, self.root_path)
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id", b""))
        log.request_id.set(request_id)
        log.trace_id.set(_trace_id(scope, headers.get(b"traceparent", b"")))
        started, status, size = time.perf_counter(), CLIENT_CLOSED_REQUEST, 0
        method = scope["method"]

        async def send_with_common_headers(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_common_headers(message["headers"], request_id)
            else:
                size += len(message.get("body", b""))
            await send(message)

        send_answer: Send = send_with_common_headers
        if method == "HEAD":
            # Every route that answers GET answers HEAD too (RFC 9110, 9.3.2).
            scope, send_answer = {**scope, "method": "GET"}, _without_body(send_with_common_headers)
        try:
            await self.app(scope, receive, send_answer)
        finally:
            path = scope["path"][len(self.root_path) :]
            _log_access(scope, path, method, status, size, time.perf_counter() - started)


def _with_common_headers(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    complete = [*headers, (b"x-request-id", request_id.encode())]
    names = {name for name, _ in complete}
    if _CACHE_CONTROL not in names:
        complete.append(_REVALIDATE if b"etag" in names else _DO_NOT_STORE)
    return complete


def _without_body(send: Send) -> Send:
    """End the answer after its head. The server then tells the application of a disconnect, which ends a stream."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return send_head


def _request_id(offered: bytes) -> str:
    return offered.decode() if _REQUEST_ID.fullmatch(offered) else new_request_id()


def _trace_id(scope: Scope, traceparent: bytes) -> str | None:
    """The trace id of FastAPI's span if it makes one, else the client's."""
    if scope.get("fastapi.telemetry"):
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return trace.format_trace_id(context.trace_id)
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1].decode() if match else None


def _log_access(scope: Scope, path: str, method: str, status: int, size: int, seconds: float) -> None:
    route, client = scope.get("route"), scope.get("client")
    access_logger.info(
        "request",
        extra={
            "method": method,
            "path": path,
            "route": getattr(route, "path_format", None) or getattr(route, "path", None),
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
            "bytes": size,
            "client": client[0] if client else None,
        },
    )
