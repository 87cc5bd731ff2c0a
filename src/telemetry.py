"""Exports traces and metrics by OTLP if `OTEL_*` variables ask for it.

FastAPI can set up the same exporters, but then a stop waits for a slow collector without limit: the exporter's timeout
is one of each read. So this module makes the providers, and its caller limits how long a stop waits.

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
from typing_extensions import override

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

_PROTOCOL = "http/protobuf"


class Provider(Protocol):
    """A provider of `opentelemetry.sdk`, for spans or for metrics."""

    def shutdown(self) -> None:
        """Send the rest. There is no limit of time."""


def start() -> Sequence[Provider]:
    """Make the providers that the environment asks for, and install them for the whole process.

    The environment must set `FASTAPI_OTEL_AUTO_CONFIGURE` and an endpoint; the SDK and its exporters read all other
    variables. If one is invalid, nothing is exported, and the log has a warning.
    """
    if not _is_true("FASTAPI_OTEL_AUTO_CONFIGURE") or _is_true("OTEL_SDK_DISABLED"):
        return ()
    try:
        with ExitStack() as cleanup:
            tracer_provider = _make_tracer_provider(cleanup) if _is_exported("TRACES") else None
            meter_provider = _make_meter_provider(cleanup) if _is_exported("METRICS") else None
            cleanup.pop_all()
    except (ImportError, ValueError) as error:
        logger.warning("traces and metrics are not exported: %s", " ".join(str(error).split()))
        return ()
    if tracer_provider:
        trace.set_tracer_provider(tracer_provider)
    if meter_provider:
        metrics.set_meter_provider(meter_provider)
    return [provider for provider in (tracer_provider, meter_provider) if provider]


async def stop(providers: Sequence[Provider], seconds: float) -> None:
    """Send the rest, for at most `seconds`. If something is lost, the log has one warning."""
    if not providers:
        return
    errors = _ErrorCollector()
    exporters = logging.getLogger("opentelemetry")
    exporters.addHandler(errors)
    exporters.propagate = False
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_shut_down(provider) for provider in providers))
    except TimeoutError:
        errors.messages.append(f"the collector did not take all within {seconds:g} s")
    if errors.messages:
        logger.warning("traces or metrics were lost at the end: %s", "; ".join(dict.fromkeys(errors.messages)))


class _ErrorCollector(logging.Handler):
    """Collects the errors that the SDK logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def _shut_down(provider: Provider) -> None:
    """Shut the provider down in a daemon thread: the process would wait at its end for a thread of an executor."""
    ended: Future[None] = Future()
    ended.set_running_or_notify_cancel()

    def shut_down() -> None:
        try:
            provider.shutdown()
        except Exception:
            # For example, the SDK raises when its metric reader did not end in time.
            logging.getLogger("opentelemetry").exception("A provider could not be shut down.")
        ended.set_result(None)

    threading.Thread(target=shut_down, daemon=True).start()
    await asyncio.wrap_future(ended)


def _make_tracer_provider(cleanup: ExitStack) -> "TracerProvider":
    """`cleanup` shuts the provider down if the other one cannot be made."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    cleanup.callback(provider.shutdown)
    return provider


def _make_meter_provider(cleanup: ExitStack) -> "MeterProvider":
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], shutdown_on_exit=False)
    cleanup.callback(provider.shutdown)
    return provider


def _is_exported(signal: str) -> bool:
    """Whether the environment asks to export this signal. Raises `ValueError` for values that are not supported."""
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
    # `url.port` raises ValueError for an impossible port.
    if url.scheme not in ("http", "https") or not url.hostname or url.port == 0:
        raise ValueError(f"the endpoint of {signal.lower()} must be a URL of http or https")
    return True


def _is_true(variable: str) -> bool:
    return os.getenv(variable, "").strip().lower() == "true"
