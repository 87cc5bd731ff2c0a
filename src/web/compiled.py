"""Routes that answer without FastAPI's way to them: match, parameters, dependencies, endpoint, answer.

Why: FastAPI asks one route after another, and works out with each request what it knew at start; that was a third of
the CPU of a read. Here a route has its plan (`src/web/route_plans.py`), made once, and a request is served by it as a
whole or not at all. All parameters are validated before any dependency is called. Where one is not valid, or a request
has anything unusual, FastAPI gets it as it came, and refuses or serves it: it stays the one that describes, validates
and refuses, and both ways answer the same bytes (`tests/web/test_compiled.py`).

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
    """Serve what can be served so within all other middleware. Routes that are added after the start are FastAPI's."""
    app.user_middleware.append(Middleware(CompiledRoutesMiddleware, application=app))


class CompiledRoutesMiddleware:
    """ASGI: serves what it has compiled, and hands on everything else."""

    def __init__(self, app: ASGIApp, application: FastAPI) -> None:
        self.app = app
        self._application = application
        handlers = {
            kind: handler for kind, handler in application.exception_handlers.items() if kind not in (500, Exception)
        }
        self._answer_failure = ExceptionMiddleware(_fail, handlers, application.debug)
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
                    await self._answer_failure(scope, receive, _nowhere if failure.has_begun else send)
                return
        await self.app(scope, receive, send)


async def _fail(scope: Scope, receive: Receive, send: Send) -> None:
    """As within a route of FastAPI's: the handler of an exception gets the request that the route has had."""
    failure: Failure = scope.pop(_FAILURE)

    async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
        if failure.has_begun:
            await send({"type": "http.response.start"})
        raise failure.errors.pop()

    await wrap_app_handling_exceptions(fail, failure.request)(scope, receive, send)


async def _nowhere(_message: Message) -> None:
    pass


class Table:
    """The route that FastAPI would choose: the first of those that match. None where that is not compiled."""

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
            # Where one with parameters comes before it, the prefix leads to that.
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
        if (method, path) in self._by_path:
            route = self._by_path[method, path]
            return (route, {}) if route else None
        end = min(len(path), self._longest_prefix)
        while (end := path.rfind("/", 0, end)) >= 0:
            for pattern, candidate in self._by_prefix.get((method, path[: end + 1]), ()):
                # A pattern takes a line break after its end.
                if (match := pattern.match(path)) and not path.endswith("\n"):
                    return (candidate, match.groupdict()) if candidate else None
        return None


def _matching(application: FastAPI) -> Iterator[RouteContext]:
    """The routes up to the first of which it is not known what they match; not those that are for WebSocket."""
    for context in iter_route_contexts(application.routes):
        route = context.original_route
        if isinstance(route, WebSocketRoute):
            continue
        if type(route).matches not in (APIRoute.matches, Route.matches, Mount.matches):
            return
        yield context


def _prefix(context: RouteContext) -> str:
    """Of a path with parameters: what comes before the segment of the first."""
    fixed, has_parameters, _ = (context.path_format or "").partition("{")
    return fixed[: fixed.rindex("/") + 1] if has_parameters else ""


def _compiled(context: RouteContext, application: FastAPI) -> "CompiledRoute | None":
    try:
        return CompiledRoute(context, application)
    except Unknown:
        return None
