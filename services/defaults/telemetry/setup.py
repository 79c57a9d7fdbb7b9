"""Turns telemetry on for a process, and off again at its end."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from redis.observability import MetricGroup, OTelConfig, get_observability_instance

from services.defaults.logs import configure_logging
from services.defaults.settings import CommonSettings
from services.defaults.telemetry.metering import open_meters
from services.defaults.telemetry.scope import known_facts

UNCOUNTED: Final = NoOpMeterProvider()  # each span and line by itself: that would cost as much as the span
SHUTDOWN_S: Final = 2.0  # a dead collector must not hold up the end of a process
# What the SDK reads from the environment only, where nobody has said otherwise.
SDK_DEFAULTS: Final = {
    "OTEL_BSP_SCHEDULE_DELAY": "1000",  # people look at traces while they buy
    "OTEL_BSP_MAX_QUEUE_SIZE": "8192",  # two seconds of a busy process
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",  # what is dropped or cannot be sent is counted
    "OTEL_SEMCONV_STABILITY_OPT_IN": "database",  # the present names, of Redis's spans
}


@contextmanager
def setup_telemetry(service: str, settings: CommonSettings) -> Iterator[None]:
    """Configures logs, traces and metrics of the process; what is pending is sent at the end, in SHUTDOWN_S."""
    if settings.otel_sdk_disabled:
        configure_logging(service, level=settings.log_level, style=settings.log_format, facts=known_facts)
        yield
        return
    for key, value in SDK_DEFAULTS.items():
        os.environ.setdefault(key, value)
    resource = _resource(service, settings)
    meters = open_meters(resource, _metric_exporter(settings), settings.otel_metric_export_interval / 1000)
    tracers = _open_tracers(resource, settings, meters)
    loggers = _open_loggers(resource, settings, meters)
    configure_logging(
        service,
        level=settings.log_level,
        style=settings.log_format,
        also=[_log_outlet(loggers)] if loggers else [],
        facts=known_facts,
    )
    _instrument_redis()
    try:
        yield
    finally:
        _shut_down([each.shutdown for each in (tracers, loggers, meters) if each])


def _resource(service: str, settings: CommonSettings) -> Resource:
    """Who tells all this. What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first."""
    ours = {
        "service.name": service,
        "service.version": settings.release,
        "service.instance.id": str(uuid4()),
        "deployment.environment.name": settings.environment,
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _metric_exporter(settings: CommonSettings) -> OTLPMetricExporter | None:
    if not settings.sends("metrics"):
        return None
    return OTLPMetricExporter(timeout=settings.export_timeout_s("metrics"))


def _open_tracers(resource: Resource, settings: CommonSettings, meters: MeterProvider) -> TracerProvider:
    """Where no trace is sent, none is recorded; else the SDK reads the sampler's variables."""
    sends = settings.sends("traces")
    tracers = TracerProvider(
        sampler=None if sends else ALWAYS_OFF, resource=resource, shutdown_on_exit=False, meter_provider=UNCOUNTED
    )
    trace.set_tracer_provider(tracers)
    if sends:
        exporter = OTLPSpanExporter(timeout=settings.export_timeout_s("traces"), meter_provider=meters)
        tracers.add_span_processor(BatchSpanProcessor(exporter, meter_provider=meters))
    return tracers


def _open_loggers(resource: Resource, settings: CommonSettings, meters: MeterProvider) -> LoggerProvider | None:
    if not settings.sends("logs"):
        return None
    loggers = LoggerProvider(resource, shutdown_on_exit=False, meter_provider=UNCOUNTED)
    exporter = OTLPLogExporter(timeout=settings.export_timeout_s("logs"), meter_provider=meters)
    loggers.add_log_record_processor(BatchLogRecordProcessor(exporter, meter_provider=meters))
    return loggers


def _log_outlet(loggers: LoggerProvider) -> logging.Handler:
    handler = LoggingHandler(logger_provider=loggers)
    # What the telemetry says of itself goes to the terminal only: a complaint about sending logs must not be one.
    handler.addFilter(lambda record: not record.name.startswith("opentelemetry"))
    return handler


def _instrument_redis() -> None:
    RedisInstrumentor().instrument()  # spans
    get_observability_instance().init(OTelConfig(metric_groups=[MetricGroup.COMMAND]))


def _shut_down(shutdowns: Sequence[Callable[[], Any]]) -> None:
    """All at once, and not waited for longer than SHUTDOWN_S: the SDK itself would wait for half a minute each."""
    threads = [threading.Thread(target=shutdown, daemon=True) for shutdown in shutdowns]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SHUTDOWN_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
