"""What the service exports by OpenTelemetry, and that no collector delays a stop."""

import time
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from src import telemetry
from src.config import DatabaseSettings
from src.main import is_health
from tests.application import Server, run_server
from tests.audits.factories import AUDITS, audit_body
from tests.collector import Manner, collector
from tests.web.test_server import TRACE, UNREACHABLE, access_lines

# Nothing is sent before the stop, however slow the machine is.
ON = {
    "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
    "OTEL_BSP_SCHEDULE_DELAY": "60000",
    "OTEL_METRIC_EXPORT_INTERVAL": "60000",
}
SECRET = "what nobody may see"


def lines_of_telemetry(server: Server) -> list[Any]:
    return [line for line in server.log() if "telemetry" in line["logger"]]


@pytest.mark.parametrize(
    ("of_traces", "of_metrics", "workers"),
    [("hangs", "trickles", 2), ("is unavailable", "is down", 1), ("refuses", "refuses", 1)],
)
async def test_a_failing_collector_does_not_delay_a_stop_and_the_loss_is_one_line(
    of_traces: Manner, of_metrics: Manner, workers: int
) -> None:
    async with collector(of_traces) as first, collector(of_metrics) as second:
        endpoints = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{first.url}/v1/traces",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{second.url}/v1/metrics",
        }
        async with (
            run_server(UNREACHABLE, **ON, **endpoints, WORKERS=str(workers)) as server,
            httpx2.AsyncClient(base_url=server.url) as client,
        ):
            await client.get("/")
            started = time.monotonic()
            assert await server.stop() == 0
            # The exporters would go on for 10 s.
            assert time.monotonic() - started < 9
        assert first.received
        assert bool(second.received) is (of_metrics != "is down")
    # A worker without a request has no traces that it could lose.
    (line,) = lines_of_telemetry(server)
    assert (line["logger"], line["level"]) == ("src.telemetry", "WARNING")
    assert "lost at the end" in line["message"]


async def test_a_stop_sends_the_rest_and_traces_contain_no_bodies(
    database: DatabaseSettings,
) -> None:
    url = database.database_url.get_secret_value()
    async with collector() as collecting:
        environment = {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": collecting.url, "OTEL_SERVICE_NAME": "trail"}
        async with run_server(url, **environment) as server, httpx2.AsyncClient(base_url=server.url) as client:
            headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Actor-Id": SECRET.replace(" ", "_")}
            body = audit_body(details={"note": SECRET})
            await client.post(AUDITS, json=body, headers=headers)
            await client.get(AUDITS, params={"entity_id": "INV-42"})
            for path in ("/health", "/health/live", "/health/ready"):
                await client.get(path)
        received = collecting.received
    assert lines_of_telemetry(server) == []
    created, listed, *health = access_lines(server.log())
    requests = [span for span in collecting.spans() if span["kind"] == "SPAN_KIND_SERVER"]
    assert [span["name"] for span in requests] == [f"POST {AUDITS}", f"GET {AUDITS}"]
    assert created["trace_id"] == TRACE
    assert listed["trace_id"] != TRACE
    assert [span["trace_id"] for span in requests] == [TRACE, listed["trace_id"]]
    assert {line["trace_id"] for line in health} == {None}
    assert requests[1]["attributes"] == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": AUDITS,
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "url.path": AUDITS,
        "url.query": "entity_id=INV-42",
        "url.scheme": "http",
    }
    assert {name for span in collecting.spans() for name in span["attributes"]} == {
        *requests[1]["attributes"],
        "code.function.name",
    }
    assert any(isinstance(request, ExportMetricsServiceRequest) for request in received)
    assert not any(isinstance(request, ExportLogsServiceRequest) for request in received)
    text = str(received)
    assert "trail" in text
    assert "INV-42" in text
    assert not any(secret in text for secret in (SECRET, SECRET.replace(" ", "_"), body["entity_id"]))


@pytest.mark.parametrize(
    ("sampler", "ratio", "flags", "expected"),
    [
        ("parentbased_traceidratio", 0, "01", [True, False]),
        ("parentbased_traceidratio", 1, "00", [False, True]),
        ("traceidratio", 0, "01", [False, False]),
    ],
)
async def test_the_caller_decides_whether_a_request_is_sampled_unless_only_the_ratio_does(
    sampler: str, ratio: int, flags: str, expected: list[bool]
) -> None:
    async with collector() as collecting:
        environment = {
            **ON,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collecting.url,
            "OTEL_TRACES_SAMPLER": sampler,
            "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        }
        async with (
            run_server(UNREACHABLE, **environment) as server,
            httpx2.AsyncClient(base_url=server.url) as client,
        ):
            await client.get("/", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-{flags}"})
            await client.get("/")
    traced = {span["trace_id"] for span in collecting.spans()}
    logged = [line["trace_id"] for line in access_lines(server.log())]
    assert logged[0] == TRACE
    assert [trace_id in traced for trace_id in logged] == expected


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        ("/health", "", True),
        ("/health/ready", "", True),
        ("/audit/health/live", "/audit", True),
        ("/health/live", "/audit", True),
        ("/health/ready", "/health", True),
        ("/health/health/ready", "/health", True),
        (f"/health{AUDITS}", "/health", False),
        ("/healthy", "", False),
        (f"{AUDITS}/health", "", False),
    ],
)
def test_health_is_not_traced_with_any_root_path(path: str, root_path: str, expected: bool) -> None:
    assert is_health(root_path, {"path": path}) is expected


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER must be otlp or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "nowhere", "the endpoint of metrics must be a URL of http or https"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:abc", "Port could not be cast to integer value as 'abc'"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "interval value 0.0 is invalid and needs to be larger than zero."),
    ],
)
def test_an_unsupported_exporter_is_one_line_and_the_service_serves(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, each in {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", variable: value}.items():
        monkeypatch.setenv(name, each)
    before = trace.get_tracer_provider()
    assert not telemetry.start()
    assert caplog.messages == [f"traces and metrics are not exported: {message}"]
    assert trace.get_tracer_provider() is before


@pytest.mark.parametrize(
    "environment",
    [
        {},
        ON,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_no_provider_is_started_unless_asked_for(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, each in environment.items():
        monkeypatch.setenv(name, each)
    assert not telemetry.start()
    assert caplog.messages == []
