"""What lies between an answer and its connection: when more is read, how the connection ends, and HTTP/1.0."""

from asyncio import Transport
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from struct import pack
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Flow(FlowControl):
    """Nothing more is read while there is something that was read and not parsed."""

    is_ahead = False

    def resume_reading(self) -> None:
        if not self.is_ahead:
            super().resume_reading()


class ReceivingTransport:
    """For the answer to a request whose body has not arrived as a whole: `close` closes in its own way."""

    def __init__(self, transport: Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing = transport.write, transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.close = close


def without_chunks(app: Any, cycle: RequestResponseCycle) -> Any:
    """HTTP/1.0 knows no chunks: an answer of unknown length ends with its connection (RFC 9112, 6.1 and 6.3).

    Until it is whole, the end of the connection is a reset: nothing else would tell the client.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_length = False

        async def send_as_it_is(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = b"content-length" in dict(message["headers"])
                if not has_length:
                    cycle.chunked_encoding = False
                    end_with_reset(cycle.transport)
            elif not has_length:
                # uvicorn takes what has no chunks for something whose length was told.
                cycle.expected_content_length = len(message.get("body", b""))
                if not message.get("more_body", False):
                    end_with_reset(cycle.transport, on=False)
            await send(message)

        await app(scope, receive, send_as_it_is)

    return answer


def end_with_reset(transport: Transport, *, on: bool = True) -> None:
    """Closed so, a socket forgets what it was to send, and its peer gets an error instead of an end (socket(7))."""
    socket = transport.get_extra_info("socket")
    if socket and socket.fileno() != -1:
        socket.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", on, 0))
