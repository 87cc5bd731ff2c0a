"""A complete answer is sent at once, instead of as two messages of ASGI.

What it does: a compiled route hands status, headers and body to `send_whole` of src/web/middleware.py, which adds its
headers and hands all of it to the server: one call and one write each.

Why: each message passes several coroutines, and uvicorn searches each header with two regular expressions
(tests/benchmarks/README.md).

To switch it off: leave `whole-answers` out of `FAST_PATHS`. Where something else wraps `send`, such as another
middleware or the layers that `direct-entrance` leaves out, the answer is sent as messages too.
"""

from typing import cast

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from src.web.request_context import Fields
from src.web.transports import CorkedTransport

# The bytes that the lines of a head may have, besides their ends (RFC 9110, 5.5).
_TEXT = bytes([ord("\t"), *range(0x20, 0x7F), *range(0x80, 0x100)])
# Headers by which uvicorn decides how it sends the answer.
_DECISIVE = frozenset({b"connection", b"transfer-encoding"})


class Sender:
    """Has a method `send` of ASGI, and can send a complete answer without it."""

    __slots__ = ()

    def send_whole(self, status: int, fields: Fields, body: bytes) -> bool:
        """Send an answer, with the length of its body among its headers. Returns False if `send` has to send it."""
        raise NotImplementedError


def owner(send: Send) -> object:
    """The object whose method `send` is; None if `send` is wrapped."""
    return getattr(send, "__self__", None)


def send_by_server(send: Send, status: int, fields: Fields, body: bytes) -> bool:
    """As `Sender.send_whole`, for the `send` of the server."""
    cycle = owner(send)
    if (
        type(cycle) is not RequestResponseCycle
        # An answer that comes before the whole request has another one.
        or not isinstance(cast(object, cycle.transport), CorkedTransport)
        or cycle.response_started
        or cycle.disconnected
        or cycle.flow.write_paused
    ):
        return False
    fields = cycle.default_headers + fields
    if not _DECISIVE.isdisjoint([name for name, _ in fields]):
        return False
    lines = b"".join([b"%s: %s\r\n" % field for field in fields])
    # uvicorn refuses what is no text.
    if lines.translate(None, _TEXT) != b"\r\n" * len(fields):
        return False
    end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(b"".join((STATUS_LINE[status], lines, end, body)))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True
