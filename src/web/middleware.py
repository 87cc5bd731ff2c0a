"""The middleware of every request, as pure ASGI classes: CORS, errors and limits.

From the outside in: `RequestContextMiddleware` (of request_context.py), `PermissiveCORSMiddleware`,
`LastResortMiddleware`, `RequestLimitsMiddleware`, `LoadSheddingMiddleware`. The last resort sits inside CORS, so that a
browser can read the problem document of an unforeseen error too.
"""

import asyncio
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from src.admission import Admission, NotAdmitted, TooManyWaiting
from src.config import AppSettings
from src.exceptions import HeadersTooLarge, Overloaded, RequestIncomplete, RequestTimeout, URITooLong
from src.web import problems

# The extension of the ASGI scope with which src/web/connection.py lets the application close the connection.
CLOSE_CONNECTION = "audit-trail.close-connection"
# The extension that marks a request on a connection beyond MAX_CONNECTIONS.
OVER_CONNECTION_LIMIT = "audit-trail.over-connection-limit"

# The methods whose routes read a body.
_WITH_BODY = ("POST", "PUT", "PATCH")

# Seconds until a request beyond those that may wait is refused: this slows down callers who ask again at once.
# The figures are in tests/benchmarks/README.md.
_REFUSAL_DELAY = 0.25


class PermissiveCORSMiddleware(CORSMiddleware):
    """Answers every preflight with 200 and what is allowed, and leaves the decision to the browser.

    Starlette answers 400 with plain text where it refuses one, but every error of this service is a problem document.
    """

    @override
    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        response.status_code = 200
        return response


class LastResortMiddleware:
    """Answers every exception that nothing inside has answered with a problem document."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

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
            await self.app(scope, receive, note_progress)
        except ClientDisconnect:
            return
        except Exception as error:
            if not response_started:
                await problems.from_exception(error, scope)(scope, receive, send)
                return
            if not problems.log_if_outage(error):
                raise
            # Do not close the connection of a complete answer: it may have the next request by now.
            if not response_complete and not await _close_connection(scope, receive):
                raise


async def _close_connection(scope: Scope, receive: Receive) -> bool:
    """Close a connection whose answer cannot be finished: that tells the client. Returns False if the server cannot.

    Returns when the server has seen the disconnect; it logs an error if an application returns before its answer ends.
    """
    extension = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if extension is None:
        return False
    extension["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


class LoadSheddingMiddleware:
    """Refuses requests above the limit; more would slow all of them.

    Each group of paths has its own limit, so that calls of AI never keep audits waiting. A request counts when its body
    has arrived, so that slow senders never keep others waiting. Paths outside the groups are always answered.
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
        if OVER_CONNECTION_LIMIT in scope.get("extensions", ()):
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
    """Wait for a place. Raises `Overloaded`."""
    try:
        await admission.admit()
    except NotAdmitted as error:
        if isinstance(error, TooManyWaiting):
            await asyncio.sleep(_REFUSAL_DELAY)
        raise Overloaded("Try again shortly.") from None


class RequestLimitsMiddleware:
    """Limits the size of a request's head, the time for its body to arrive, and the time until its answer begins.

    An answer that has begun may take longer.
    """

    def __init__(self, app: ASGIApp, settings: AppSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _limit_head(scope, self.settings)

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start" and not deadline.expired():
                deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self.settings.request_timeout) as deadline:
                await self.app(scope, self._with_body_deadline(receive), send_in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise RequestTimeout(
                "Ask for less, or try again; with the same Idempotency-Key nothing is done twice."
            ) from None

    def _with_body_deadline(self, receive: Receive) -> Receive:
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


def _limit_head(scope: Scope, settings: AppSettings) -> None:
    """Raises `URITooLong`, `HeadersTooLarge`."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_url_bytes:
        raise URITooLong(f"At most {settings.max_url_bytes} bytes are accepted.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > settings.max_header_bytes:
        raise HeadersTooLarge(f"At most {settings.max_header_bytes} bytes are accepted.")
