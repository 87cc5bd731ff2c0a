"""Compiled routes, which serve valid requests in place of FastAPI.

What it does: each route gets a plan at the start (`src/web/route_plans.py`). `Table` finds the route of a request, and
the plan serves the request as a whole or not at all: all parameters are validated before any dependency is called. If
one is not valid, or if the request has anything unusual, FastAPI gets the request as it came, and refuses or serves it.
So FastAPI still describes, validates and refuses. Both ways answer the same bytes (`tests/web/test_compiled.py`).

Why: FastAPI tries one route after another, and works out for each request what it knew at the start. That takes time
(tests/benchmarks/README.md).

To switch it off: leave `compiled-routes` out of `FAST_PATHS`. `dependency_overrides` switch it off, and so do traces
and metrics.
"""

from collections.abc import Iterator
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette._utils import get_route_path
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.web.compiled_route import CompiledRoute, Failure, Unserved
from src.web.route_plans import Unknown

_FAILURE = "audit-trail.failure"


def install(app: FastAPI) -> None:
    """Put compiled routes behind all other middleware. They do not include routes that are added after the start."""
    app.user_middleware.append(Middleware(CompiledRoutesMiddleware, application=app))


class CompiledRoutesMiddleware:
    """Serves the requests of compiled routes, and hands all others on to FastAPI."""

    def __init__(self, app: ASGIApp, application: FastAPI) -> None:
        self.app = app
        self._application = application
        handlers = {
            kind: handler for kind, handler in application.exception_handlers.items() if kind not in (500, Exception)
        }
        self._answer_failure = ExceptionMiddleware(_raise_failure, handlers, application.debug)
        self._table = Table(application)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and not self._application.dependency_overrides
            and scope.get("fastapi.telemetry") is None
            and (found := self._table.find(scope["method"], get_route_path(scope)))
        ):
            route, path_params = found
            try:
                failure = await route.serve(scope, receive, send, path_params)
            except Unserved as unserved:
                receive = unserved.receive
            else:
                if failure:
                    scope[_FAILURE] = failure
                    await self._answer_failure(scope, receive, _discard if failure.has_begun else send)
                return
        await self.app(scope, receive, send)


async def _raise_failure(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise the failure as a route does, so that the handler of an exception gets the request of the route."""
    failure: Failure = scope.pop(_FAILURE)

    async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
        if failure.has_begun:
            await send({"type": "http.response.start"})
        raise failure.errors.pop()

    await wrap_app_handling_exceptions(fail, failure.request)(scope, receive, send)


async def _discard(_message: Message) -> None:
    """Take the messages of a handler that answers when the answer has begun already."""


class Table:
    """Finds the route that FastAPI would choose, which is the first that matches."""

    def __init__(self, application: FastAPI) -> None:
        matching = [(context, _compiled(context, application)) for context in _matching(application)]
        methods = {method for context, _ in matching for method in context.methods or ()}
        self._by_path: dict[tuple[str, str], CompiledRoute | None] = {}
        self._by_prefix: dict[tuple[str, str], list[tuple[Pattern[str], CompiledRoute | None]]] = {}
        for method in methods:
            self._add(method, [each for each in matching if method in (each[0].methods or methods)])
        self._longest_prefix = max((len(prefix) for _, prefix in self._by_prefix), default=0)

    def _add(self, method: str, matching: "list[tuple[RouteContext, CompiledRoute | None]]") -> None:
        for path in (context.path_format or "" for context, _ in matching if not _prefix(context)):
            first, route = next(each for each in matching if each[0].path_regex.match(path))
            # If a route with parameters comes first and matches this path, `_by_prefix` has it.
            if not _prefix(first):
                self._by_path[method, path] = route
        with_parameters = [
            (_prefix(context), context.path_regex, route) for context, route in matching if _prefix(context)
        ]
        for prefix in {prefix for prefix, _, _ in with_parameters}:
            self._by_prefix[method, prefix] = [
                (pattern, route) for shorter, pattern, route in with_parameters if prefix.startswith(shorter)
            ]

    def find(self, method: str, path: str) -> "tuple[CompiledRoute, dict[str, Any]] | None":
        """The route and the text of its path parameters; None if no route matches, or if it is not compiled."""
        if (method, path) in self._by_path:
            route = self._by_path[method, path]
            return (route, {}) if route else None
        end = min(len(path), self._longest_prefix)
        while (end := path.rfind("/", 0, end)) >= 0:
            for pattern, candidate in self._by_prefix.get((method, path[: end + 1]), ()):
                # A pattern also matches a path that ends with a line break.
                if (match := pattern.match(path)) and not path.endswith("\n"):
                    return (candidate, match.groupdict()) if candidate else None
        return None


def _matching(application: FastAPI) -> Iterator[RouteContext]:
    """The routes for HTTP, up to the first whose class has a `matches` of its own: nobody knows what that matches."""
    for context in iter_route_contexts(application.routes):
        route = context.original_route
        if isinstance(route, WebSocketRoute):
            continue
        if type(route).matches not in (APIRoute.matches, Route.matches, Mount.matches):
            return
        yield context


def _prefix(context: RouteContext) -> str:
    """The path before the segment of its first parameter; empty if it has no parameters."""
    fixed, has_parameters, _ = (context.path_format or "").partition("{")
    return fixed[: fixed.rindex("/") + 1] if has_parameters else ""


def _compiled(context: RouteContext, application: FastAPI) -> "CompiledRoute | None":
    try:
        return CompiledRoute(context, application)
    except Unknown:
        return None
