"""Traces and metrics by OpenTelemetry, exported by OTLP/HTTP when told where to.

Without an endpoint nothing is recorded, yet every request still gets a trace id, which its log lines carry.
The exporters read the standard `OTEL_EXPORTER_OTLP_…` variables themselves. For grpclib and aiormq, which
have no instrumentation, the spans are made here, after the semantic conventions for RPC and messaging.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.defaults.errors import AppError
from services.defaults.logs import configure_logging
from services.defaults.settings import CommonSettings

EXPORT_TIMEOUT_S: Final = 2  # a dead collector must not hold up the end of a process
UNTRACED_URLS: Final = "/health$,/alive$,/static/,/posters/"

tracer = trace.get_tracer("services.defaults")


@contextmanager
def setup_telemetry(service: str, settings: CommonSettings) -> Iterator[None]:
    """Configures logs, traces and metrics of the process; what is pending is exported at the end."""
    configure_logging(service, level=settings.log_level, style=settings.log_format)
    resource = Resource.create({"service.name": service, "service.version": settings.release})
    traces = TracerProvider(sampler=_sampler(settings), resource=resource)
    trace.set_tracer_provider(traces)
    shutdowns: list[Callable[[], Any]] = [traces.shutdown]
    if settings.otel_exporter_otlp_endpoint:
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)))
        meters = MeterProvider(resource=resource, metric_readers=[_metric_reader(settings)])
        metrics.set_meter_provider(meters)
        shutdowns.append(meters.shutdown)
        _instrument_libraries()
    try:
        yield
    finally:
        for shutdown in shutdowns:
            shutdown()


def trace_requests(asgi_app: Any) -> Any:
    """The ASGI application with a server span for each request, named by its route's shape."""
    return OpenTelemetryMiddleware(asgi_app, excluded_urls=UNTRACED_URLS, exclude_spans=["receive", "send"])


def inject_trace() -> dict[str, str]:
    """The current trace as headers (W3C Trace Context); empty outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def current_trace_id() -> str:
    """32 hexadecimal digits, or nothing outside a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


@contextmanager
def rpc_server_span(service: str, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """The span of one gRPC call taken, child of the caller's (semantic conventions for RPC)."""
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    with _span(f"{service}/{method}", SpanKind.SERVER, attributes, parent=headers) as span:
        yield span


@contextmanager
def rpc_client_span(service: str, method: str) -> Iterator[Span]:
    """The span of one gRPC call made."""
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    with _span(f"{service}/{method}", SpanKind.CLIENT, attributes) as span:
        yield span


@contextmanager
def producer_span(destination: str, headers: Mapping[str, str] | None = None) -> Iterator[Span]:
    """The span of one message sent (semantic conventions for messaging), child of the trace in `headers`."""
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.destination.name": destination,
    }
    with _span(f"send {destination}", SpanKind.PRODUCER, attributes, parent=headers) as span:
        yield span


@contextmanager
def consumer_span(destination: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """The span of one message handled, child of the trace that its headers carry."""
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.destination.name": destination,
    }
    with _span(f"process {destination}", SpanKind.CONSUMER, attributes, parent=headers) as span:
        yield span


@contextmanager
def _span(
    name: str, kind: SpanKind, attributes: dict[str, str], *, parent: Mapping[str, str] | None = None
) -> Iterator[Span]:
    context = None if parent is None else propagate.extract(parent)
    with tracer.start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except AppError as error:
            span.set_attribute("error.type", error.code)
            span.set_status(Status(StatusCode.ERROR if error.status >= 500 else StatusCode.UNSET))
            raise
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def _sampler(settings: CommonSettings) -> Sampler:
    if not settings.otel_exporter_otlp_endpoint:
        return ALWAYS_OFF
    return ParentBased(TraceIdRatioBased(settings.trace_sample_ratio))


def _metric_reader(settings: CommonSettings) -> PeriodicExportingMetricReader:
    return PeriodicExportingMetricReader(
        OTLPMetricExporter(timeout=EXPORT_TIMEOUT_S),
        export_interval_millis=settings.otel_metric_export_interval,
    )


def _instrument_libraries() -> None:
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # a missing collector is no news each second
    AioHttpClientInstrumentor().instrument()
    AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call] # ships without annotations
    RedisInstrumentor().instrument()
