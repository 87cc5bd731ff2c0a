"""Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol), without credentials."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from src.web.request_context import Fields

_VARY = (b"vary", b"Origin")


class CORS(CORSMiddleware):
    """Starlette's rules, applied by `src/web/middleware.py`.

    Credentials stay off: with them, `*` would reflect any origin.
    """

    def __init__(self, origins: Sequence[str], exposed_headers: Sequence[str]) -> None:
        super().__init__(
            _unused,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=exposed_headers,
        )
        self._fields = [(name.lower().encode(), value.encode()) for name, value in self.simple_headers.items()]

    @override
    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers every preflight with 200 and what is allowed, and leaves the decision to the browser.

        Starlette answers 400 with plain text where it refuses one, but every error of this service is a problem
        document.
        """
        response = super().preflight_response(request_headers)
        response.status_code = 200
        return response

    def add_headers(self, fields: Fields, origin: bytes | None) -> None:
        """Add the headers of CORS to those of an answer; `origin` is that of the request."""
        if origin is not None:
            fields += self._fields
            if not self.allow_all_origins and self.is_allowed_origin(origin.decode("latin-1")):
                fields.append((b"access-control-allow-origin", origin))
        if b"vary" in [name for name, _ in fields]:
            MutableHeaders(raw=fields).add_vary_header("Origin")
        else:
            fields.append(_VARY)


async def _unused(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """The application that a middleware has to have; this one never calls it."""
