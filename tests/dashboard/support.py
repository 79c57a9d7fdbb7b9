"""OTLP messages as a service would send them, and keeping them."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from services.dashboard.ingest.intake import SIGNALS
from services.dashboard.store import Store

SECOND_NS = 1_000_000_000
NOW_NS = 1_790_000_000 * SECOND_NS
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


class Clock:
    """Nanoseconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def value(plain: Any) -> AnyValue:
    if isinstance(plain, bool):
        return AnyValue(bool_value=plain)
    if isinstance(plain, int):
        return AnyValue(int_value=plain)
    return AnyValue(double_value=plain) if isinstance(plain, float) else AnyValue(string_value=plain)


def pairs(**attributes: Any) -> list[KeyValue]:
    """Attributes; a double underscore in a name stands for a dot."""
    return [KeyValue(key=key.replace("__", "."), value=value(plain)) for key, plain in attributes.items()]


def resource(service: str, instance: str = "one") -> Resource:
    return Resource(attributes=pairs(service__name=service, service__instance__id=instance, service__version="1.2.3"))


def span(
    span_id: int,
    *,
    parent: int = 0,
    name: str = "GET /",
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_SERVER,
    start_ns: int = NOW_NS - SECOND_NS,
    duration_ns: int = 1_000_000,
    trace_id: str = TRACE_ID,
    error: bool = False,
    **attributes: Any,
) -> Span:
    return Span(
        trace_id=bytes.fromhex(trace_id),
        span_id=span_id.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + duration_ns,
        status=Status(code=Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET),
        attributes=pairs(**attributes),
    )


def spans(*sent: Span, service: str = "ordering") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.resource_spans.add(resource=resource(service)).scope_spans.add(spans=sent).scope.name = "tests"
    return request


def log(body: str, *, severity: int = 9, time_ns: int = NOW_NS, trace_id: str = "", **attributes: Any) -> LogRecord:
    return LogRecord(
        time_unix_nano=time_ns,
        severity_number=LogRecord(severity_number=severity).severity_number,  # type: ignore[arg-type] # any number may come
        severity_text="INFO",
        body=AnyValue(string_value=body),
        attributes=pairs(**attributes),
        trace_id=bytes.fromhex(trace_id),
    )


def logs(*records: LogRecord, service: str = "ordering") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    request.resource_logs.add(resource=resource(service)).scope_logs.add(log_records=records)
    return request


def metrics(*sent: Metric, service: str = "ordering", instance: str = "one") -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add(resource=resource(service, instance)).scope_metrics.add(metrics=sent)
    return request


async def keep(store: Store, *requests: Message, now_ns: int = NOW_NS) -> None:
    """Keeps what the requests hold, as the receivers do."""
    for request in requests:
        signal = next(signal for signal in SIGNALS if isinstance(request, signal.request))
        await store.writer.submit(signal.decode(request.SerializeToString(), now_ns), signal.kind)
