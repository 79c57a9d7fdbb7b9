"""A small collector: an OTLP/HTTP receiver that keeps what it is sent, for tests of what leaves a process."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

UNPACK: Final[Mapping[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}

Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Sent:
    """One request of an exporter's."""

    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # unpacked


@dataclass(frozen=True)
class SpanView:
    service: str
    name: str
    kind: str  # SERVER, CLIENT, …
    trace_id: str
    span_id: str
    parent_id: str  # empty: it is a root
    attributes: Attributes
    linked: tuple[str, ...]  # ids of traces
    failed: bool


@dataclass(frozen=True)
class LogView:
    service: str
    level: str
    body: str
    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True)
class PointView:
    """One series of a metric; `value` is a histogram's count. `exemplars` are ids of traces."""

    service: str
    name: str
    unit: str
    attributes: Attributes
    value: float
    exemplars: tuple[str, ...]


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[Sent] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, signal: str) -> list[bytes]:
        return [sent.body for sent in list(self.sent) if sent.path == f"/v1/{signal}"]

    def spans(self) -> list[SpanView]:
        return [span for body in self.bodies("traces") for span in read_spans(body)]

    def logs(self) -> list[LogView]:
        return [log for body in self.bodies("logs") for log in read_logs(body)]

    def points(self, name: str = "") -> list[PointView]:
        """Every series of the metric, in each export anew; without a name those of all."""
        found = [point for body in self.bodies("metrics") for point in read_points(body)]
        return [point for point in found if name in ("", point.name)]


class _Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        self.server.sent.append(Sent(self.path, headers, UNPACK[headers.get("content-encoding", "")](body)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def running_collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def read_spans(body: bytes) -> Iterator[SpanView]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = attributes_of(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            yield from (_span(service, span) for span in scope.spans)


def _span(service: str, span: ProtoSpan) -> SpanView:
    return SpanView(
        service=service,
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=attributes_of(span.attributes),
        linked=tuple(link.trace_id.hex() for link in span.links),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
    )


def read_logs(body: bytes) -> Iterator[LogView]:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        service = attributes_of(resource.resource.attributes)["service.name"]
        for scope in resource.scope_logs:
            for log in scope.log_records:
                yield LogView(
                    service=service,
                    level=log.severity_text,
                    body=log.body.string_value,
                    trace_id=log.trace_id.hex(),
                    span_id=log.span_id.hex(),
                    attributes=attributes_of(log.attributes),
                )


def read_points(body: bytes) -> Iterator[PointView]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        service = attributes_of(resource.resource.attributes)["service.name"]
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data") or "gauge"
                for point in getattr(metric, kind).data_points:
                    yield _point(service, metric.name, metric.unit, point)


def _point(service: str, name: str, unit: str, point: Any) -> PointView:
    is_histogram = hasattr(point, "bucket_counts")
    number = point.count if is_histogram else getattr(point, point.WhichOneof("value"))
    return PointView(
        service=service,
        name=name,
        unit=unit,
        attributes=attributes_of(point.attributes),
        value=float(number),
        exemplars=tuple(each.trace_id.hex() for each in point.exemplars),
    )


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    if value.HasField("array_value"):
        return [_value(each) for each in value.array_value.values]
    return getattr(value, value.WhichOneof("value") or "string_value")
