"""Everything around a request, in one pass.

What it does, from the outside in: `_add_context` (ids, the headers of every answer, the access line), `_apply_cors`,
`_answer_errors` with `_limit_head`, `_limit_time` and `_limit_load`, then the application. Each is a method of
`_Exchange`, and all but `_limit_head` call the next one. Errors are answered inside CORS, so that a browser can read
the problem document of an unforeseen error too.

Why: as five classes, each with a coroutine, a wrapped `send` and a timer of its own, the same takes more time
(tests/benchmarks/README.md). Here one object holds what all steps need to know of the request, and each message of the
answer passes one function.

It is no option: nothing else does this work. To see what it gives, measure beside a commit without it
(`EARLIER=f654782 make bench`).
"""

import asyncio
import time
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from src.access_log import AccessLog
from src.admission import Admission, NotAdmitted, TooManyWaiting, patience
from src.config import AppSettings, FastPath
from src.exceptions import AppError, HeadersTooLarge, Overloaded, RequestIncomplete, RequestTimeout, URITooLong
from src.web import problems, request_context, whole_answers
from src.web.cors import CORS
from src.web.deadlines import Deadlines, SeparateDeadlines
from src.web.extensions import OVER_CONNECTION_LIMIT, close_connection
from src.web.request_context import Fields
from src.web.waiting import LEAVE
from src.web.whole_answers import Sender

# The status that nginx logs when the client left before its answer; it is never sent.
CLIENT_CLOSED_REQUEST = 499

# The methods whose routes read a body.
_WITH_BODY = ("POST", "PUT", "PATCH")

# Seconds until a request is refused if too many wait already. This slows down callers who ask again at once.
# The figures are in tests/benchmarks/README.md.
_REFUSAL_DELAY = 0.2


class RequestMiddleware:
    """Gives each request its context, CORS, answers to errors, and limits of time and load.

    Each of the `groups`, prefixes of paths, has its own limit of requests at once, so that calls of AI never keep
    audits waiting. Paths outside the groups are always answered.
    """

    def __init__(
        self, app: ASGIApp, settings: AppSettings, groups: Sequence[str], exposed_headers: Sequence[str]
    ) -> None:
        self.app = app
        self.settings = settings
        self.cors = CORS(settings.cors_origins, exposed_headers)
        self.access_log = AccessLog(is_batched=FastPath.BATCHED_LOG in settings.fast_paths)
        self.sends_whole = FastPath.WHOLE_ANSWERS in settings.fast_paths
        self._groups = groups
        self.loop: AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self._start(loop)
        await _Exchange(self, scope, receive, send).run()

    def _start(self, loop: AbstractEventLoop) -> None:
        """Make what belongs to one event loop. An application can be used in several loops, one after the other."""
        settings = self.settings
        kind = Deadlines if FastPath.SHARED_TIMER in settings.fast_paths else SeparateDeadlines
        self.answer_deadlines = kind(settings.request_timeout, loop)
        self.body_deadlines = kind(settings.request_body_timeout, loop)
        self.admissions = {
            group: Admission(settings.max_in_flight, settings.place_timeout, settings.max_waiting)
            for group in self._groups
        }
        self.loop = loop


class _Exchange(Sender):
    """One request and its answer."""

    __slots__ = (
        "_admission", "_body_arrived", "_cancelling", "_complete", "_error", "_has_place", "_is_head", "_is_preflight",
        "_method", "_middleware", "_origin", "_receive", "_request_id", "_scope", "_send", "_size", "_status",
        "_task",
    )  # fmt: skip

    def __init__(self, middleware: RequestMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware, self._scope, self._receive, self._send = middleware, scope, receive, send
        self._method: str = scope["method"]
        self._is_head = self._method == "HEAD"
        self._status, self._size, self._complete = CLIENT_CLOSED_REQUEST, 0, False
        self._body_arrived = self._has_place = self._is_preflight = False
        self._admission: Admission | None = None
        # Set when a deadline has passed.
        self._error: AppError | None = None

    async def run(self) -> None:
        await self._add_context()

    async def _add_context(self) -> None:
        """Give the request its ids, and write its access line at the end."""
        started = time.perf_counter()
        settings, scope = self._middleware.settings, self._scope
        headers = dict(scope["headers"])
        self._request_id = request_context.start(scope, headers, settings.root_path)
        self._origin = headers.get(b"origin")
        if self._is_head:
            # Every route that answers GET answers HEAD too (RFC 9110, 9.3.2).
            self._scope = {**scope, "method": "GET"}
        try:
            await self._apply_cors()
        finally:
            route, client = self._scope.get("route"), scope.get("client")
            self._middleware.access_log.write(
                {
                    "method": self._method,
                    "path": scope["path"][len(settings.root_path) :],
                    "route": getattr(route, "path_format", None) or getattr(route, "path", None),
                    "status": self._status,
                    "client": client[0] if client else None,
                    "duration_ms": int((time.perf_counter() - started) * 100_000) / 100,
                    "bytes": self._size,
                }
            )

    async def _apply_cors(self) -> None:
        """Answer a preflight. `send` adds the headers of CORS to all other answers."""
        if self._origin is not None and self._method == "OPTIONS":
            headers = Headers(scope=self._scope)
            if "access-control-request-method" in headers:
                preflight = self._middleware.cors.preflight_response(headers)
                self._is_preflight = True
                await preflight(self._scope, self._receive, self.send)
                return
        await self._answer_errors()

    async def _answer_errors(self) -> None:
        """Answer every exception that is left with a problem document."""
        try:
            self._limit_head()
            await self._limit_time()
        except ClientDisconnect:
            return
        except Exception as error:
            if self._status == CLIENT_CLOSED_REQUEST:
                await problems.from_exception(error, self._scope)(self._scope, self._receive, self.send)
                return
            if not problems.log_if_outage(error):
                raise
            # Do not close the connection of a complete answer: it may have the next request by now.
            if not self._complete and not await close_connection(self._scope, self._receive):
                raise

    def _limit_head(self) -> None:
        """Raise `URITooLong` or `HeadersTooLarge` above the limits of a request's head, or for a path of no route."""
        settings, scope = self._middleware.settings, self._scope
        # The pattern of a route also matches a path with a line break at its end.
        if scope["path"][-1:] == "\n":
            raise HTTPException(404)
        if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_url_bytes:
            raise URITooLong(f"At most {settings.max_url_bytes} bytes are accepted.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > settings.max_header_bytes:
            raise HeadersTooLarge(f"At most {settings.max_header_bytes} bytes are accepted.")

    async def _limit_time(self) -> None:
        """Limit the time for the body to arrive, and the time until the answer begins. The answer may take longer."""
        middleware = self._middleware
        task = asyncio.current_task(middleware.loop)
        assert task
        self._task, self._cancelling = task, task.cancelling()
        middleware.answer_deadlines.add(self)
        try:
            await self._limit_load()
        except CancelledError:
            # If somebody else has cancelled the task too, that cancellation goes on, as with asyncio.timeout.
            if self._error is None or task.uncancel() > self._cancelling:
                raise
            raise self._error from None
        finally:
            middleware.answer_deadlines.discard(self)
            middleware.body_deadlines.discard(self)

    def expire(self, deadlines: Deadlines) -> None:
        """End the request with an error: a deadline has passed. If both pass at once, the first one counts."""
        if self._error is not None:
            return
        if deadlines is self._middleware.answer_deadlines:
            self._error = RequestTimeout(
                "Ask for less, or try again; with the same Idempotency-Key nothing is done twice."
            )
        else:
            self._error = RequestIncomplete(f"Send the whole body within {deadlines.seconds:g} s.")
        self._task.cancel()

    async def _limit_load(self) -> None:
        """Refuse requests above the limit of their group; more would slow all of them.

        A request counts when its body has arrived, so that slow senders never keep others waiting.
        """
        middleware, scope = self._middleware, self._scope
        path: str = scope["path"]
        for group, admission in middleware.admissions.items():
            if path.startswith(group):
                if OVER_CONNECTION_LIMIT in scope.get("extensions", ()):
                    raise Overloaded("Too many connections are open. Try again shortly.")
                self._admission = admission
                break
        try:
            if self._admission and self._method not in _WITH_BODY:
                await self._take_place(self._admission)
            scope[LEAVE] = self.leave
            await middleware.app(scope, self.receive, self.send)
        finally:
            # It refers back to the scope: only the garbage collector would free both.
            scope.pop(LEAVE, None)
            if self._has_place:
                self._release_place()

    async def _take_place(self, admission: Admission) -> None:
        """Raises `Overloaded`."""
        try:
            waited = await admission.admit()
        except NotAdmitted as error:
            if isinstance(error, TooManyWaiting):
                await asyncio.sleep(_REFUSAL_DELAY)
            raise Overloaded("Try again shortly.") from None
        self._has_place = True
        if waited:
            # Otherwise a database that does not answer would keep it waiting twice.
            patience.set(max(0, 1 - waited / self._middleware.settings.place_timeout))

    def _release_place(self) -> None:
        if self._admission:
            self._admission.release()
        self._has_place = False

    def leave(self) -> None:
        """See `src.web.waiting.leave_place`."""
        self._middleware.answer_deadlines.discard(self)
        patience.set(1)
        if self._has_place:
            self._release_place()

    async def receive(self) -> Message:
        if self._body_arrived:
            return await self._receive()
        deadlines = self._middleware.body_deadlines
        # Once the answer has begun, somebody only waits for the client to leave, however long that takes.
        if self._status == CLIENT_CLOSED_REQUEST:
            deadlines.add(self)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            deadlines.discard(self)
        elif not message.get("more_body", False):
            self._body_arrived = True
            deadlines.discard(self)
            if self._admission and self._method in _WITH_BODY:
                await self._take_place(self._admission)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            middleware = self._middleware
            middleware.answer_deadlines.discard(self)
            middleware.body_deadlines.discard(self)
            self._status = message["status"]
            fields = self._with_common_headers(message["headers"])
            await self._send({"type": "http.response.start", "status": self._status, "headers": fields})
            if self._is_head:
                # The server then tells the application of a disconnect, which ends a stream.
                await self._send({"type": "http.response.body", "body": b""})
            return
        self._complete = not message.get("more_body", False)
        if not self._is_head:
            self._size += len(message.get("body", b""))
            await self._send(message)

    @override
    def send_whole(self, status: int, fields: Fields, body: bytes) -> bool:
        if self._is_head or not self._middleware.sends_whole:
            return False
        if not whole_answers.send_by_server(self._send, status, self._with_common_headers(fields), body):
            return False
        self._status, self._size, self._complete = status, len(body), True
        return True

    def _with_common_headers(self, headers: Fields) -> Fields:
        fields = [*headers]
        if not self._is_preflight:
            self._middleware.cors.add_headers(fields, self._origin)
        request_context.add_headers(fields, self._request_id)
        return fields
