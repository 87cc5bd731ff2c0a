"""The limits of one connection while it receives requests, and the answers to clients that exceed them.

uvicorn limits neither how long a request may take to arrive nor how long a client may take to read. The application
never sees a request that is refused here; the answer is a problem document without CORS headers.
"""

import logging
import sys
from asyncio import TimerHandle, Transport
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from src.config import FastPath
from src.exceptions import AppError, HeadersTooLarge, MalformedRequest, RequestIncomplete, URITooLong
from src.identifiers import new_id
from src.web import problems
from src.web.extensions import CLOSE_CONNECTION, OVER_CONNECTION_LIMIT
from src.web.request_context import NO_STORE
from src.web.sending import WriteLimitedProtocol
from src.web.server_config import ServerConfig
from src.web.transports import (
    CORKED_BYTES,
    BufferedFlowControl,
    CorkedTransport,
    EarlyAnswerTransport,
    LingeringClose,
    without_chunked_encoding,
)

logger = logging.getLogger(__name__)

_CLOSE = (b"connection", b"close")
# Bytes for the parser at a time: it cannot stop at the end of a request, and each request that it finds in the bytes
# takes memory, however short it is. The figures are in tests/benchmarks/README.md.
_PIECE_BYTES = 8 * 1024


class BoundedProtocol(WriteLimitedProtocol):
    """One connection with limits in time and in bytes.

    Its client sends in phases, each with a timeout: a head, a body, and then nothing until the next head.
    """

    flow: BufferedFlowControl
    _early_answer_transport: EarlyAnswerTransport
    _corked_transport: CorkedTransport

    def __init__(self, config: ServerConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        # Seconds for the current phase; None between a complete body and the next head.
        self._phase_timeout: float | None = self.settings.request_head_timeout
        self._phase_count = 0
        self._in_head = True
        # Whether the last piece had a part of a body, and the bytes that led neither to a body nor to a new phase.
        self._received_body = False
        self._unproductive_bytes = 0
        # Set when the last answer has been sent.
        self._lingering_close: LingeringClose | None = None
        self._is_over_limit = False
        self._running_cycle: RequestResponseCycle | None = None
        # uvicorn sets it when a request begins, but a client may send line breaks before its first request.
        self.url = b""
        # The bytes that the parser is working on, and those that it will get next.
        self._piece = self._unparsed = b""
        self._read_timer: TimerHandle | None = None

    # Reading

    @override
    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = BufferedFlowControl(transport)
        self._early_answer_transport = EarlyAnswerTransport(transport, self._close_after_early_answer)
        max_held_bytes = CORKED_BYTES if FastPath.JOINED_WRITES in self.settings.fast_paths else 0
        self._corked_transport = CorkedTransport(transport, self.loop, max_held_bytes, self._limit_unsent)
        self._is_over_limit = len(self.connections) > self.settings.max_connections
        self._start_read_timer()

    @override
    def data_received(self, data: bytes) -> None:
        if self._lingering_close:
            self._lingering_close.discard(len(data))
        else:
            self._unparsed += data
            self._parse()

    def _parse(self) -> None:
        """Parse until a request has to wait for its turn; the rest stays unparsed until then."""
        while self._unparsed and not (self.pipeline or self._lingering_close or self.transport.is_closing()):
            self._piece, self._unparsed = self._unparsed[:_PIECE_BYTES], self._unparsed[_PIECE_BYTES:]
            self._parse_piece()
        self.flow.has_unparsed_data = bool(self._unparsed)
        if self._unparsed:
            self.flow.pause_reading()

    def _parse_piece(self) -> None:
        phase_count, self._received_body = self._phase_count, False
        size = len(self._piece)
        super().data_received(self._piece)
        if self._lingering_close or self.transport.is_closing():
            return
        if self._phase_count != phase_count:
            # If a head is the only phase that began, all these bytes belong to it.
            is_head = self._phase_count == phase_count + 1 and self._in_head
            self._unproductive_bytes = 0
            self._start_read_timer()
            self._limit_unproductive_bytes(size if is_head else 0)
        elif not self._received_body:
            self._limit_unproductive_bytes(size)

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._enter_phase(self.settings.request_head_timeout, in_head=True)
        self.scope["extensions"] = {CLOSE_CONNECTION: {"close": self._corked_transport.close}}
        if self._is_over_limit:
            self.scope["extensions"][OVER_CONNECTION_LIMIT] = {}

    @override
    def on_headers_complete(self) -> None:
        if self._wants_upgrade():
            return
        version = self.parser.get_http_version()
        _require_host(version, self.headers)
        # A client of HTTP/1.0 must not get 100 Continue (RFC 9110, 10.1.1).
        self.expect_100_continue &= version != "1.0"
        super().on_headers_complete()
        # Both until the body is complete; `on_message_complete` undoes them. An answer that is sent before that closes
        # the connection, because nobody could tell the rest of the body from the next request (RFC 9112, 9.3).
        self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]
        self.cycle.transport = self._early_answer_transport  # type: ignore[assignment]
        # The application has a shorter timeout for a body that it reads; this one is for a body that it does not read.
        self._enter_phase(self.settings.request_timeout)
        # The parser would add the fields of a trailer to the headers of the request: give it another list.
        self.headers = []
        if self._stop_timers or self._is_over_limit:
            self.cycle.keep_alive = False

    @override
    def on_body(self, body: bytes) -> None:
        self._received_body = True
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        if self._wants_upgrade():
            return
        super().on_message_complete()
        self.cycle.default_headers = self.server_state.default_headers
        self.cycle.transport = self._corked_transport  # type: ignore[assignment]
        self._enter_phase(None)

    def _wants_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Parse the request again without its Upgrade header, which a server may ignore (RFC 9110, 7.8).

        Java's own client asks for HTTP/2 in each request, and the parser reads no body of a request with an upgrade.
        """
        if not self._wants_upgrade():
            self.cycle.keep_alive = False
            return
        upgrade = sys.exception()
        assert isinstance(upgrade, HttpParserUpgrade)
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self._unparsed = b"\r\n".join([first, *fields, b"", b""]) + self._piece[upgrade.args[0] :] + self._unparsed
        # A parser that was interrupted in a request of HTTP/1.0, or with `Connection: close`, takes no more bytes.
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _enter_phase(self, timeout: float | None, *, in_head: bool = False) -> None:
        self._phase_count += 1
        self._phase_timeout = timeout
        self._in_head = in_head

    def _start_read_timer(self) -> None:
        self._cancel_read_timer()
        if self._phase_timeout is not None:
            self._read_timer = self.loop.call_later(self._phase_timeout, self._on_read_timeout)

    def _cancel_read_timer(self) -> None:
        if self._read_timer:
            self._read_timer.cancel()
            self._read_timer = None

    def _limit_unproductive_bytes(self, size: int) -> None:
        """Limit a head or a trailer that goes on and on: the parser keeps it in memory until it is complete."""
        self._unproductive_bytes += size
        if self._unproductive_bytes > self.settings.max_url_bytes + self.settings.max_header_bytes:
            self._refuse(URITooLong() if len(self.url) > self.settings.max_url_bytes else HeadersTooLarge())
        elif self._phase_timeout is None and self._is_idle():
            # A client may send line breaks before a request, but they must not keep the connection open for ever.
            self._enter_phase(self.settings.request_head_timeout, in_head=True)
            self._start_read_timer()

    def _on_read_timeout(self) -> None:
        if self.flow.read_paused:
            # We paused reading, so the client is not late.
            self._start_read_timer()
        elif not self._is_idle():
            self.cycle.keep_alive = False
        elif self._phase_count and self._in_head:
            self._refuse(RequestIncomplete())
        else:
            self.transport.close()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest(msg))

    def _refuse(self, error: AppError) -> None:
        """Answer bytes that are not a complete request with `error`, and close the connection."""
        self._corked_transport.flush()
        self._start_lingering_close()
        if (running := self._running_cycle) and not running.response_complete:
            # Tell the application that its client has left. Pipelined requests behind this one never start.
            running.disconnected = True
            running.message_event.set()
            if running.response_started:
                return
        request_id = new_id()
        logger.info("refused: %s", error.code, extra={"status": error.status, "request_id": request_id})
        response = problems.to_response(error, "", request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["Cache-Control"] = NO_STORE
        fields = [*self.server_state.default_headers, *response.raw_headers, _CLOSE]
        lines = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, response.body))
        self.transport.write_eof()

    def _close_after_early_answer(self) -> None:
        """Close the connection of an answer that was sent before its request had arrived completely."""
        if self.cycle.response_complete and not self.transport.is_closing():
            self._start_lingering_close()
            self.transport.write_eof()
        else:
            self.transport.close()

    def _start_lingering_close(self) -> None:
        """Take no more requests, and close the connection without a reset."""
        self._unparsed = b""
        self._cancel_read_timer()
        self._lingering_close = LingeringClose(self.transport, self.loop, self.settings.request_body_timeout)

    # Answering and ending

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._lingering_close:
            self._unset_keepalive_if_required()
        if self._unparsed or self._lingering_close:
            self.flow.has_unparsed_data = False
            self.flow.resume_reading()
            self._parse()

    def _limit_unsent(self) -> None:
        """Limit the time for the rest of a complete answer; a part of an answer pauses its writer, which is limited."""
        if self._is_idle():
            self._start_write_timer()

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running_cycle = cycle
        is_http_1_0 = cycle.scope["http_version"] == "1.0"
        super()._start_asgi_task(cycle, without_chunked_encoding(app, cycle) if is_http_1_0 else app)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the last of several pipelined requests that the client has left; tell the running one too.
        if self._running_cycle:
            self._running_cycle.disconnected = True
            self._running_cycle.message_event.set()
        super().connection_lost(exc)
        # Its reference back to this connection would delay the release of memory until the next garbage collection.
        del self._early_answer_transport
        self._cancel_read_timer()
        if self._lingering_close:
            self._lingering_close.cancel()


def _require_host(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """Raise `ValueError`, which the parser reports as a malformed request, without exactly one Host (RFC 9112, 3.2).

    HTTP/1.0 may leave it out; other versions than 1.0 and 1.1 are refused.
    """
    hosts = [name for name, _ in headers].count(b"host")
    if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
        raise ValueError("one Host, in HTTP/1")
