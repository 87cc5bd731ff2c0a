"""The ids of a request, and the headers that every answer gets."""

import re

from opentelemetry import trace
from starlette.types import Scope

from src import log
from src.admission import patience
from src.identifiers import new_id
from src.web import root_path

Fields = list[tuple[bytes, bytes]]
"""Header fields, with names in lower case."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# W3C Trace Context, 3.2: version, trace-id, parent-id, flags. Ids that are all zeros are invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

# RFC 9111, 5.2.2. A cache may keep an answer that has a version, if it revalidates it each time; it may keep no other.
NO_STORE = "no-store"
_CACHE_CONTROL = b"cache-control"
_REVALIDATE, _DO_NOT_STORE = (_CACHE_CONTROL, b"no-cache"), (_CACHE_CONTROL, NO_STORE.encode())


def start(scope: Scope, headers: dict[bytes, bytes], root: str) -> str:
    """Complete the scope with the root path, set the context of the request, and return its id."""
    if root:
        root_path.set_root_path(scope, root)
    offered = headers.get(b"x-request-id")
    request_id = offered.decode() if offered and _REQUEST_ID.fullmatch(offered) else new_id()
    log.request_id.set(request_id)
    log.trace_id.set(_trace_id(scope, headers.get(b"traceparent")))
    # A pipelined request begins in the context of the one before it.
    patience.set(1)
    return request_id


def add_headers(fields: Fields, request_id: str) -> None:
    """Add the request id, and `Cache-Control` where the answer has none."""
    fields.append((b"x-request-id", request_id.encode()))
    names = [name for name, _ in fields]
    if _CACHE_CONTROL not in names:
        fields.append(_REVALIDATE if b"etag" in names else _DO_NOT_STORE)


def _trace_id(scope: Scope, traceparent: bytes | None) -> str | None:
    """The trace id of FastAPI's span if it makes one, else the client's."""
    if scope.get("fastapi.telemetry"):
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return trace.format_trace_id(context.trace_id)
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return match[1].decode() if match else None
