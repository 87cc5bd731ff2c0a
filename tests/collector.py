"""An OpenTelemetry collector on loopback that answers, or fails in one of the ways in which collectors fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Export = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest
Manner = Literal["answers", "is down", "hangs", "trickles", "is unavailable", "refuses"]

_SIGNALS: dict[str, type[Export]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}
_STATUS = {"answers": "200 OK", "is unavailable": "503 Service Unavailable", "refuses": "400 Bad Request"}


class Collector:
    """The exports that it has received, and its URL."""

    def __init__(self, manner: Manner) -> None:
        self.url = ""
        self.received: list[Export] = []
        self._manner = manner

    def spans(self) -> list[dict[str, Any]]:
        """`name`, `kind`, `trace_id` in hexadecimal and `attributes` of each, in the order in which they ended."""
        return [
            {
                "name": span.name,
                "kind": Span.SpanKind.Name(span.kind),
                "trace_id": span.trace_id.hex(),
                "attributes": {each.key: _value(each.value) for each in span.attributes},
            }
            for request in self.received
            if isinstance(request, ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its client leaves."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._take(reader)
                await self._answer(reader, writer)
        writer.close()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        request_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        request = _SIGNALS[request_line.split()[1]]()
        request.ParseFromString(await reader.readexactly(int(headers["content-length"])))
        self.received.append(request)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._manner == "hangs":
            await reader.read()
        elif self._manner == "trickles":
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        else:
            writer.write(f"HTTP/1.1 {_STATUS[self._manner]}\r\nContent-Length: 0\r\n\r\n".encode())


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


@asynccontextmanager
async def collector(manner: Manner = "answers") -> AsyncIterator[Collector]:
    collecting = Collector(manner)
    server = await asyncio.start_server(collecting.serve, "127.0.0.1", 0)
    collecting.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if manner == "is down":
        server.close()
    try:
        yield collecting
    finally:
        server.close()
