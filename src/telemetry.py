"""Traces and metrics leave the process by OTLP where `OTEL_*` variables say so; nothing here runs where they do not.

FastAPI would set up the same by itself. What is left at a stop it would send for as long as a collector takes: one that
hangs was measured to hold a stop up for 30 s, one that sends its answer byte by byte for ever, since the exporter's
timeout is one of each read. So the providers are made here, and a stop waits for them as long as its caller says.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import asyncio
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from opentelemetry import metrics, trace

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

_PROTOCOL = "http/protobuf"


class Provider(Protocol):
    """`opentelemetry.sdk`'s, of spans or of metrics."""

    def shutdown(self) -> None:
        """Sends what is left. Takes as long as the collector takes."""


def start() -> Sequence[Provider]:
    """Make the providers that the environment asks for, for the whole process. What it gets wrong is one warning.

    `FASTAPI_OTEL_AUTO_CONFIGURE` and an endpoint are needed; the SDK and its exporters read all other variables.
    """
    if not _is_true("FASTAPI_OTEL_AUTO_CONFIGURE") or _is_true("OTEL_SDK_DISABLED"):
        return ()
    try:
        with ExitStack() as undone:
            traces = _traces(undone) if _leaves("TRACES") else None
            measures = _metrics(undone) if _leaves("METRICS") else None
            undone.pop_all()
    except (ImportError, ValueError) as error:
        logger.warning("traces and metrics do not leave: %s", " ".join(str(error).split()))
        return ()
    if traces:
        trace.set_tracer_provider(traces)
    if measures:
        metrics.set_meter_provider(measures)
    return [provider for provider in (traces, measures) if provider]


async def stop(providers: Sequence[Provider], seconds: float) -> None:
    """Send what is left, and give up what is not sent after `seconds`. What is lost is one line of the log."""
    if not providers:
        return
    complaints = _Complaints()
    exporters = logging.getLogger("opentelemetry")
    exporters.addHandler(complaints)
    exporters.propagate = False
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_shut_down(provider) for provider in providers))
    except TimeoutError:
        complaints.messages.append(f"the collector did not take all within {seconds:g} s")
    if complaints.messages:
        logger.warning("traces or metrics were lost at the end: %s", "; ".join(dict.fromkeys(complaints.messages)))


class _Complaints(logging.Handler):
    """What the SDK would have logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def _shut_down(provider: Provider) -> None:
    """In a thread that the process does not wait for when it ends, as it would for one of an executor."""
    ended: Future[None] = Future()
    ended.set_running_or_notify_cancel()

    def shut_down() -> None:
        try:
            provider.shutdown()
        except Exception:
            # The SDK's own way to say that a reader was too late.
            logging.getLogger("opentelemetry").exception("A provider could not be shut down.")
        ended.set_result(None)

    threading.Thread(target=shut_down, daemon=True).start()
    await asyncio.wrap_future(ended)


def _traces(undone: ExitStack) -> "TracerProvider":
    """`undone` gives the provider up if the other one cannot be made."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    undone.callback(provider.shutdown)
    return provider


def _metrics(undone: ExitStack) -> "MeterProvider":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], shutdown_on_exit=False)
    undone.callback(provider.shutdown)
    return provider


def _leaves(signal: str) -> bool:
    """Raises `ValueError` where what is asked for is not what the image can do."""
    endpoint = os.getenv(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or os.getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = os.getenv(f"OTEL_{signal}_EXPORTER") or "otlp"
    if not endpoint or exporter == "none":
        return False
    if exporter != "otlp":
        raise ValueError(f"OTEL_{signal}_EXPORTER must be otlp or none")
    protocol = os.getenv(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or os.getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    if (protocol or _PROTOCOL) != _PROTOCOL:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be {_PROTOCOL}")
    url = urlsplit(endpoint)
    # A port that cannot be raises ValueError.
    if url.scheme not in ("http", "https") or not url.hostname or url.port == 0:
        raise ValueError(f"the endpoint of {signal.lower()} must be a URL of http or https")
    return True


def _is_true(variable: str) -> bool:
    return os.getenv(variable, "").strip().lower() == "true"
