"""What one connection may take of the process, in time and in bytes; and what is said to one that takes more.

uvicorn bounds neither a request that never ends nor a reader that never reads. What is refused here never becomes a
request of the application: it is a problem document, without CORS headers.
"""

import logging
import sys
from asyncio import TimerHandle, Transport
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from src.config import AppSettings
from src.exceptions import AppError, HeadersTooLarge, MalformedRequest, RequestIncomplete, URITooLong
from src.identifiers import new_request_id
from src.web import problems
from src.web.middleware import CLOSE_CONNECTION, NO_STORE, SURPLUS_CONNECTION
from src.web.transports import Flow, ReceivingTransport, end_with_reset, without_chunks

logger = logging.getLogger(__name__)

# Seconds that an idle connection lives on when the server stops: a request that is under way to it would be lost.
# And that a client may pause who is still sending when it has its last answer; in all it may send this much more.
_LINGER = 1
_LINGER_BYTES = 128 * 1024 * 1024
_CLOSE = (b"connection", b"close")
# Bytes that the parser is given at once. Each request that it finds in them takes 3 KB, however short it is, and nobody
# can say stop: ten connections with 10,000 requests each took 270 MB.
_PIECE_BYTES = 8 * 1024


class ServerConfig(Config):
    """uvicorn's configuration, and ours for its connections."""

    settings: AppSettings

    def configure_logging(self) -> None:
        """In each process. A log that nobody reads any more would fill stderr with a traceback for each line."""
        super().configure_logging()
        logging.raiseExceptions = False


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    flow: Flow
    _receiving: ReceivingTransport

    def __init__(self, config: ServerConfig, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self.settings = config.settings
        # The seconds for what is being received: a head, then a body, then nothing while the answer is made.
        self._patience: float | None = self.settings.request_head_timeout
        self._phase = 0
        self._in_head = True
        self._fruitful = False
        self._fruitless_bytes = 0
        # It has its last answer: what it still sends is received and thrown away, this many bytes until now.
        self._lingers = False
        self._passed_over = 0
        self._linger_ends = 0.0
        self._is_surplus = False
        self._running: RequestResponseCycle | None = None
        # What the parser is given, and is to be given after it.
        self._data = self._ahead = b""
        self._read_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._stop_timers: list[TimerHandle] = []

    # Reading

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._receiving = ReceivingTransport(transport, self._close_when_received)
        self._is_surplus = len(self.connections) > self.settings.max_connections
        self._start_read_timer()

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            self._pass_over(len(data))
        else:
            self._ahead += data
            self._parse()

    def _parse(self) -> None:
        """As far as there is a request that waits for its turn; the rest is for when its turn has come."""
        while self._ahead and not (self.pipeline or self._lingers or self.transport.is_closing()):
            self._data, self._ahead = self._ahead[:_PIECE_BYTES], self._ahead[_PIECE_BYTES:]
            self._parse_piece()
        self.flow.is_ahead = bool(self._ahead)
        if self._ahead:
            self.flow.pause_reading()

    def _parse_piece(self) -> None:
        phase, self._fruitful = self._phase, False
        size = len(self._data)
        super().data_received(self._data)
        if self._lingers or self.transport.is_closing():
            return
        if self._phase != phase:
            # After one step into a head there was nothing else in these bytes.
            is_head = self._phase == phase + 1 and self._in_head
            self._fruitless_bytes = 0
            self._start_read_timer()
            self._bound(size if is_head else 0)
        elif not self._fruitful:
            self._bound(size)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._enter(self.settings.request_head_timeout, in_head=True)
        self.scope["extensions"] = {CLOSE_CONNECTION: {"close": self.transport.close}}
        if self._is_surplus:
            self.scope["extensions"][SURPLUS_CONNECTION] = {}

    def on_headers_complete(self) -> None:
        if self._wants_upgrade():
            return
        version = self.parser.get_http_version()
        _require_host(version, self.headers)
        # To HTTP/1.0 nothing is sent before the answer (RFC 9110, 10.1.1).
        self.expect_100_continue &= version != "1.0"
        super().on_headers_complete()
        # Until the body is there; see `on_message_complete`. RFC 9112, 9.3: an answer that did not wait for it is the
        # last one, or the rest of the body would have to be told from the next request.
        self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]
        self.cycle.transport = self._receiving  # type: ignore[assignment]
        # The application bounds what it reads of a body; this is for what it does not read.
        self._enter(self.settings.request_timeout)
        # Trailers, which would become headers of the request.
        self.headers = []
        if self._stop_timers or self._is_surplus:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._fruitful = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._wants_upgrade():
            return
        super().on_message_complete()
        self.cycle.default_headers = self.server_state.default_headers
        self.cycle.transport = self.transport
        self._enter(None)

    def _wants_upgrade(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """Have the request read again without its wish for another protocol, which may be ignored (RFC 9110, 7.8).

        Java's own client wishes for HTTP/2 with each, and the parser takes no body of one that does.
        """
        if not self._wants_upgrade():
            self.cycle.keep_alive = False
            return
        upgrade = sys.exception()
        assert isinstance(upgrade, HttpParserUpgrade)
        first = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s" % (name, value) for name, value in self.headers if name != b"upgrade"]
        self._ahead = b"\r\n".join([first, *fields, b"", b""]) + self._data[upgrade.args[0] :] + self._ahead
        # The one that was interrupted takes nothing more of a client that wishes to close, or of HTTP/1.0.
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _enter(self, patience: float | None, *, in_head: bool = False) -> None:
        self._phase += 1
        self._patience = patience
        self._in_head = in_head

    def _start_read_timer(self) -> None:
        self._cancel_read_timer()
        if self._lingers:
            self._read_timer = self.loop.call_later(_LINGER, self._stop_lingering, self._passed_over)
        elif self._patience is not None:
            self._read_timer = self.loop.call_later(self._patience, self._stop_reading)

    def _cancel_read_timer(self) -> None:
        if self._read_timer:
            self._read_timer.cancel()
            self._read_timer = None

    def _bound(self, size: int) -> None:
        """Of a head, a trailer or the like that goes on and on: the parser keeps it until it is complete."""
        self._fruitless_bytes += size
        if self._fruitless_bytes > self.settings.max_url_bytes + self.settings.max_header_bytes:
            self._refuse(URITooLong() if len(self.url) > self.settings.max_url_bytes else HeadersTooLarge())
        elif self._patience is None and self._is_idle():
            # Line breaks before a request keep the connection alive, but not for ever.
            self._enter(self.settings.request_head_timeout, in_head=True)
            self._start_read_timer()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stop_reading(self) -> None:
        if self.flow.read_paused:
            # It is we who let it wait.
            self._start_read_timer()
        elif not self._is_idle():
            self.cycle.keep_alive = False
        elif self._phase and self._in_head:
            self._refuse(RequestIncomplete())
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest(msg))

    def _refuse(self, error: AppError) -> None:
        """Answer what is no request, and close."""
        self._linger()
        if (running := self._running) and not running.response_complete:
            # For the application its client has left. What waits behind it, of several requests that came at once,
            # never begins.
            running.disconnected = True
            running.message_event.set()
            if running.response_started:
                return
        request_id = new_request_id()
        logger.info("refused: %s", error.code, extra={"status": error.status, "request_id": request_id})
        response = problems.respond(error, "", request_id)
        response.headers["X-Request-ID"] = request_id
        response.headers["Cache-Control"] = NO_STORE
        fields = [*self.server_state.default_headers, *response.raw_headers, _CLOSE]
        lines = b"".join(b"%s: %s\r\n" % field for field in fields)
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, response.body))
        self.transport.write_eof()

    def _close_when_received(self) -> None:
        """For the answer to a request that is still being received. One that is broken off is closed at once."""
        if self.cycle.response_complete and not self.transport.is_closing():
            self._linger()
            self.transport.write_eof()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Take no more requests, and close soon; at once, what is still on its way here would destroy the answer.

        RFC 9112, 9.6: what arrives at a socket that is closed makes a reset, which makes the client's system throw away
        what the client has not read.
        """
        self._lingers, self._ahead = True, b""
        self._linger_ends = self.loop.time() + self.settings.request_body_timeout
        self._start_read_timer()

    def _pass_over(self, size: int) -> None:
        self._passed_over += size
        if self._passed_over > _LINGER_BYTES:
            self.transport.close()

    def _stop_lingering(self, passed_over: int) -> None:
        """Unless more has arrived meanwhile."""
        if self._passed_over > passed_over and self.loop.time() < self._linger_ends:
            self._start_read_timer()
        else:
            self.transport.close()

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_write_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._lingers:
            self._unset_keepalive_if_required()
        if self._ahead or self._lingers:
            self.flow.is_ahead = False
            self.flow.resume_reading()
            self._parse()
        if self.transport.get_write_buffer_size():
            self._start_write_timer()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._start_write_timer()

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.settings.response_write_timeout, self._stop_writing)

    def _cancel_write_timer(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _stop_writing(self) -> None:
        self._write_timer = None
        if self.transport.get_write_buffer_size():
            self._abort()

    # Ending

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, without_chunks(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the last of several requests that came at once; an earlier one would go on, and fail.
        if self._running:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        # It refers to this connection, which could not be freed at once.
        del self._receiving
        self._cancel_read_timer()
        self._cancel_write_timer()
        for timer in self._stop_timers:
            timer.cancel()

    def shutdown(self) -> None:
        """The server stops: finish what is in flight, and one more request of those that are under way."""
        if self.cycle:
            self.cycle.keep_alive = False
        self._stop_timers = [
            self.loop.call_later(_LINGER, self._close_if_idle),
            self.loop.call_later(self.settings.graceful_shutdown_seconds, self._abort),
        ]

    def _abort(self) -> None:
        """Break off what is being sent; whatever its form, nobody may take it for whole."""
        end_with_reset(self.transport)
        self.transport.abort()

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()


def _require_host(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    """RFC 9112, 3.2. What is raised here the parser reports as malformed."""
    hosts = sum(name == b"host" for name, _ in headers)
    if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and not hosts):
        raise ValueError("one Host, in HTTP/1")
