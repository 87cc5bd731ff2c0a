"""The layers between an answer and its socket: when reading pauses, how the connection closes, and HTTP/1.0."""

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

# Seconds without data from the client after which a lingering connection closes.
_LINGER_SECONDS = 1
# A lingering connection closes at once when it has discarded more than this.
_LINGER_BYTES = 128 * 1024 * 1024
# As much as asyncio's transports buffer before they pause the writer.
CORKED_BYTES = 64 * 1024


class BufferedFlowControl(FlowControl):
    """Flow control of a connection that keeps reading paused while it holds received data that is not parsed yet."""

    has_unparsed_data = False

    @override
    def resume_reading(self) -> None:
        if not self.has_unparsed_data:
            super().resume_reading()


class EarlyAnswerTransport:
    """The transport for an answer that may be sent before the whole request has arrived; `close` calls a function."""

    def __init__(self, transport: Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing = transport.write, transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.close = close


class CorkedTransport:
    """Sends together what is written in one turn of the event loop.

    What it does: it holds head and body of an answer back until the next turn begins, or until there are 64 KiB.
    Why: uvicorn writes them one after the other. Each write is a system call, and may wake up the client
    (tests/benchmarks/README.md).
    To switch it off: leave `joined-writes` out of `FAST_PATHS`. Then each write is sent at once.
    """

    def __init__(
        self, transport: Transport, loop: AbstractEventLoop, max_held_bytes: int, on_unsent: Callable[[], None]
    ) -> None:
        """`on_unsent` is called after a turn in which something was written, if the client has not taken all of it."""
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info
        self._transport, self._loop = transport, loop
        self._max_held_bytes, self._on_unsent = max_held_bytes, on_unsent
        self._held = b""

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held += data
        if len(self._held) >= self._max_held_bytes:
            self.flush()

    def flush(self) -> None:
        """Send what is held back."""
        held, self._held = self._held, b""
        if self._transport.is_closing():
            return
        if held:
            self._transport.write(held)
        # Also if `write` has flushed in this turn: the answer was not complete then, and may be now.
        if self._transport.get_write_buffer_size():
            self._on_unsent()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class LingeringClose:
    """Discards what the client still sends after its last answer, then closes the connection.

    Data that arrives at a closed socket causes a reset, and a reset makes the client's system drop an answer that the
    client has not read yet (RFC 9112, 9.6).
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop, seconds: float) -> None:
        """Close when the client has sent nothing for `_LINGER_SECONDS`, or after `seconds` in all."""
        self._transport = transport
        self._loop = loop
        self._deadline = loop.time() + seconds
        self._discarded_bytes = 0
        self._start_timer()

    def discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > _LINGER_BYTES:
            self._transport.close()

    def cancel(self) -> None:
        self._timer.cancel()

    def _start_timer(self) -> None:
        self._timer = self._loop.call_later(_LINGER_SECONDS, self._close_unless_sending, self._discarded_bytes)

    def _close_unless_sending(self, discarded_before: int) -> None:
        if self._discarded_bytes > discarded_before and self._loop.time() < self._deadline:
            self._start_timer()
        else:
            self._transport.close()


def without_chunked_encoding(app: Any, cycle: RequestResponseCycle) -> Any:
    """Wrap an application for a request of HTTP/1.0, which has no chunked encoding.

    An answer without `Content-Length` ends when the connection closes (RFC 9112, 6.1 and 6.3). Until the answer is
    complete, the connection is set to close with a reset, so that the client can tell a part from the whole.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_length = False

        async def send_unchunked(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = b"content-length" in dict(message["headers"])
                if not has_length:
                    cycle.chunked_encoding = False
                    set_reset_on_close(cycle.transport)
            elif not has_length:
                # Without chunks uvicorn counts the body against the announced length: announce each part.
                cycle.expected_content_length = len(message.get("body", b""))
                if not message.get("more_body", False):
                    set_reset_on_close(cycle.transport, on=False)
            await send(message)

        await app(scope, receive, send_unchunked)

    return answer


def set_reset_on_close(transport: Transport, *, on: bool = True) -> None:
    """Let the socket drop unsent data when it closes, and give its peer an error instead of an end (socket(7))."""
    socket = transport.get_extra_info("socket")
    if socket and socket.fileno() != -1:
        socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", on, 0))
