"""What surrounds every request, as pure ASGI: ids, caching, the access log, limits, and the last resort for errors.

From the outside in: `RequestContextMiddleware`, `PermissiveCORSMiddleware`, `LastResortMiddleware`,
`DeadlineMiddleware`, `LoadSheddingMiddleware`. The last resort sits inside CORS, so that a browser can read the problem
document of an unforeseen error as well.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Sequence

from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import log
from src.admission import Admission, NotAdmitted, TooManyWaiting
from src.config import AppSettings
from src.exceptions import AppError, HeadersTooLarge, Overloaded, RequestIncomplete, RequestTimeout, URITooLong
from src.identifiers import new_request_id
from src.web import problems, root_path

access_logger = logging.getLogger("src.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# W3C Trace Context, 3.2: version, trace-id, parent-id, flags; ids of zeros only are invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")

# The extension of the ASGI scope by which `src/web/connection.py` lets its connection be closed.
CLOSE_CONNECTION = "audit-trail.close-connection"
# The one by which it says that this connection is one too many.
SURPLUS_CONNECTION = "audit-trail.surplus-connection"

# Whose routes read a body.
_WITH_BODY = ("POST", "PUT", "PATCH")

# Seconds until a request beyond those that may wait is refused: callers who ask again at once are slowed down by it.
# Refusing 320 of these at once took three quarters of the process. So, with five times as many callers as places, 75 to
# 100 in 100 of the work is done, and 99 of 100 refusals come within 350 ms.
_REFUSAL_DELAY = 0.25

# What nginx logs for a client that left before its answer; it is never sent.
CLIENT_CLOSED_REQUEST = 499


# RFC 9111, 5.2.2. What has a version may be kept, and is asked for again each time; nothing else is kept anywhere.
_CACHE_CONTROL = b"cache-control"
NO_STORE = "no-store"
_ASK_AGAIN, _NOT_KEPT = (_CACHE_CONTROL, b"no-cache"), (_CACHE_CONTROL, NO_STORE.encode())


class RequestContextMiddleware:
    """Give the request its id, return it in `X-Request-ID`, and write one access line when it has ended.

    Say of each answer what a cache may do with it, where it does not say so itself.
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

        async def send_with_id(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_common(message["headers"], request_id)
            else:
                size += len(message.get("body", b""))
            await send(message)

        answer: Send = send_with_id
        if method == "HEAD":
            # No route has to know the method (RFC 9110, 9.3.2).
            scope, answer = {**scope, "method": "GET"}, _head_only(send_with_id)
        try:
            await self.app(scope, receive, answer)
        finally:
            path = scope["path"][len(self.root_path) :]
            _log_access(scope, path, method, status, size, time.perf_counter() - started)


def _with_common(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and those that every answer has."""
    complete = [*headers, (b"x-request-id", request_id.encode())]
    names = {name for name, _ in complete}
    if _CACHE_CONTROL not in names:
        complete.append(_ASK_AGAIN if b"etag" in names else _NOT_KEPT)
    return complete


def _head_only(send: Send) -> Send:
    """Ends the answer after its head. The server then tells the application that the client has left: a stream ends."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return send_head


def _request_id(offered: bytes) -> str:
    return offered.decode() if _REQUEST_ID.fullmatch(offered) else new_request_id()


def _trace_id(scope: Scope, traceparent: bytes) -> str | None:
    """The one of FastAPI's span, where it makes one; else the caller's."""
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


class PermissiveCORSMiddleware(CORSMiddleware):
    """Answers every preflight with what is allowed; whether that is enough is for the browser to decide.

    Starlette would answer some with plain text and 400, where every error here is a problem document.
    """

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        response.status_code = 200
        return response


class LastResortMiddleware:
    """Answer what nothing else answered, and refuse a head that is too long, as problem documents."""

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response_started = response_complete = False

        async def note_progress(message: Message) -> None:
            nonlocal response_started, response_complete
            response_started = True
            response_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            self._check_head(scope)
            await self.app(scope, receive, note_progress)
        except ClientDisconnect:
            return
        except Exception as error:
            if not response_started:
                await problems.from_exception(error, scope)(scope, receive, send)
                return
            if not problems.log_outage(error):
                raise
            # What is complete is not broken off: its connection may have the next request by now.
            if not response_complete and not await _close_connection(scope, receive):
                raise

    def _check_head(self, scope: Scope) -> None:
        if error := _head_error(scope, self.settings):
            raise error


async def _close_connection(scope: Scope, receive: Receive) -> bool:
    """End a connection whose answer cannot be finished, which is how its reader knows; False where that is not offered.

    A server would take an application that just returns for a faulty one.
    """
    extension = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if extension is None:
        return False
    extension["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


def _head_error(scope: Scope, settings: AppSettings) -> AppError | None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_url_bytes:
        return URITooLong(f"At most {settings.max_url_bytes} bytes are accepted.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > settings.max_header_bytes:
        return HeadersTooLarge(f"At most {settings.max_header_bytes} bytes are accepted.")
    return None


class LoadSheddingMiddleware:
    """Refuse what there is no time for: beyond some requests at once each more only makes all of them slower.

    Each group of paths has its own places, so that those who wait for AI keep nobody out of audits, and a request takes
    one when its body is there, so that who sends slowly keeps nobody out at all. Paths of no group are always answered.
    """

    def __init__(self, app: ASGIApp, settings: AppSettings, groups: Sequence[str]) -> None:
        self.app = app
        self.admissions = {
            group: Admission(settings.max_in_flight, settings.place_timeout, settings.max_waiting) for group in groups
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        group = next(filter(scope.get("path", "").startswith, self.admissions), None)
        if group is None:
            await self.app(scope, receive, send)
            return
        if SURPLUS_CONNECTION in scope.get("extensions", ()):
            raise Overloaded("Too many connections are open. Try again shortly.")
        admission, has_place = self.admissions[group], False

        async def take_place() -> None:
            nonlocal has_place
            await _admit(admission)
            has_place = True

        async def receive_then_take_place() -> Message:
            message = await receive()
            if not has_place and not message.get("more_body", False):
                await take_place()
            return message

        try:
            if scope["method"] not in _WITH_BODY:
                await take_place()
            await self.app(scope, receive_then_take_place, send)
        finally:
            if has_place:
                admission.release()


async def _admit(admission: Admission) -> None:
    """Raises `Overloaded`."""
    try:
        await admission.admit()
    except NotAdmitted as error:
        if isinstance(error, TooManyWaiting):
            await asyncio.sleep(_REFUSAL_DELAY)
        raise Overloaded("Try again shortly.") from None


class DeadlineMiddleware:
    """The body must arrive, and the answer begin, in time. An answer that has begun may take longer."""

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start" and not deadline.expired():
                deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self.settings.request_timeout) as deadline:
                await self.app(scope, self._bounded(receive), send_in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise RequestTimeout(
                "Ask for less, or try again; with its Idempotency-Key nothing is done twice."
            ) from None

    def _bounded(self, receive: Receive) -> Receive:
        seconds = self.settings.request_body_timeout
        deadline = asyncio.get_running_loop().time() + seconds
        body_arrived = False

        async def receive_in_time() -> Message:
            nonlocal body_arrived
            if body_arrived:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestIncomplete(f"Send the whole body within {seconds:g} s.") from None
            body_arrived = not message.get("more_body", False)
            return message

        return receive_in_time
