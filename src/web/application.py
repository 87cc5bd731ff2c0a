"""FastAPI, without the layers that it puts around our middleware.

What it does: a request enters at `RequestMiddleware`, which answers every exception itself. FastAPI puts more layers
around it: an answer to exceptions, a limit for bodies, which is not used here, and traces.

Why: these layers take time, and so does asking for each request whether there are traces (tests/benchmarks/README.md).

To switch it off: leave `direct-entrance` out of `FAST_PATHS`. Traces and metrics switch it off, and so does a
middleware that is added around ours.
"""

from functools import cached_property

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from src.web.middleware import RequestMiddleware


class Application(FastAPI):
    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_traced:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._entrance(scope, receive, send)

    @cached_property
    def _is_traced(self) -> bool:
        """Whether the process has traces or metrics, which it sets up before its first request."""
        return self._native_telemetry.enabled()

    @cached_property
    def _entrance(self) -> ASGIApp:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        layer = self.middleware_stack
        outermost: object = self.user_middleware[0].cls
        if outermost is not RequestMiddleware:
            # Somebody has added a middleware around ours.
            return layer
        while not isinstance(layer, RequestMiddleware):
            layer = layer.app  # type: ignore[attr-defined]
        return layer
