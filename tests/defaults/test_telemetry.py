"""Against a real OTLP/HTTP receiver: what leaves the process when it is told where to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAM = """
import logging, os
from dataclasses import dataclass
from opentelemetry import metrics
from services.defaults.errors import Unavailable
from services.defaults.settings import CommonSettings, load, setting
from services.defaults.telemetry import consumer_span, inject_trace, producer_span, setup_telemetry

@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port", default=1)

with setup_telemetry("sample", load(Settings, os.environ)):
    with producer_span("events"):
        headers = inject_trace()
        logging.getLogger("sample").info("sent", extra={"password": "hunter2"})
    try:
        with consumer_span("events", headers):
            raise Unavailable("away")
    except Unavailable:
        pass
    metrics.get_meter("sample").create_counter("orders.placed").add(1)
"""


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: dict[str, list[bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run_program(endpoint: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=True
    )


def test_traces_and_metrics_arrive_at_the_endpoint(collector: Collector) -> None:
    logged = run_program(f"http://127.0.0.1:{collector.server_port}").stderr
    request = ExportTraceServiceRequest.FromString(collector.received["/v1/traces"][0])
    resource = {item.key: item.value.string_value for item in request.resource_spans[0].resource.attributes}
    spans = {span.name: span for scope in request.resource_spans[0].scope_spans for span in scope.spans}
    sent, processed = spans["send events"], spans["process events"]
    assert resource["service.name"] == "sample"
    assert processed.trace_id == sent.trace_id
    assert processed.parent_span_id == sent.span_id
    assert {a.key: a.value.string_value for a in processed.attributes}["error.type"] == "UNAVAILABLE"
    metrics = ExportMetricsServiceRequest.FromString(collector.received["/v1/metrics"][0])
    names = [metric.name for scope in metrics.resource_metrics[0].scope_metrics for metric in scope.metrics]
    assert "orders.placed" in names
    line = json.loads(logged.splitlines()[0])
    assert line["trace_id"] == sent.trace_id.hex()
    assert "hunter2" not in logged


def test_without_an_endpoint_lines_still_carry_a_trace_id() -> None:
    line = json.loads(run_program("").stderr.splitlines()[0])
    assert len(line["trace_id"]) == 32


def test_a_collector_that_is_away_holds_up_nothing() -> None:
    assert run_program("http://127.0.0.1:9").returncode == 0
