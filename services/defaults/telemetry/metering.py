"""Metrics: how they are kept, told and read.

Prometheus reads them from `/metrics` of every process, with or without a collector; a collector gets them by
OTLP as well, with exemplars that lead to traces.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from services.defaults.telemetry.instruments import latencies

# One name with two sets of labels, those of redis-py and ours for Postgres, would be garbage to Prometheus.
REDIS: Final = View(
    instrument_name="db.client.operation.duration", meter_name="redis-py", name="redis.client.operation.duration"
)
# Those that are read from /proc in microseconds, when somebody asks.
PROCESS: Final = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.thread.count": None,
    "process.open_file_descriptor.count": None,
    "cpython.gc.collections": None,
}
TICK_S: Final = 0.5

logger = logging.getLogger(__name__)
_registry = CollectorRegistry()
_loop_lag = latencies("services.defaults", "event_loop.lag", "How late the event loop runs what is due")


class Pusher(PrometheusMetricReader):
    """Shows the metrics to Prometheus, and also sends them to `exporter` every `interval_s` seconds.

    With two readers, as the SDK has it, each measurement would be kept twice, and cost half as much again.
    """

    def __init__(self, exporter: MetricExporter, interval_s: float) -> None:
        super().__init__(scope_info_enabled=False, registry=_registry)
        self._exporter = exporter
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._push, name="metrics", daemon=True)
        self._thread.start()

    def _push(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._push_once()
        self._push_once()

    def _push_once(self) -> None:
        try:
            self.collect()
        except Exception:
            logger.exception("metrics not sent")  # such as for a clock that was set; the next time may do better

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any) -> None:
        if threading.current_thread() is self._thread:
            self._exporter.export(metrics_data, timeout_millis)
        else:
            super()._receive_metrics(metrics_data, timeout_millis, **options)

    def shutdown(self, timeout_millis: float = 30_000, **options: Any) -> None:
        self._stop.set()
        self._thread.join(timeout_millis / 1000)
        self._exporter.shutdown()
        super().shutdown(timeout_millis, **options)


def open_meters(resource: Resource, exporter: MetricExporter | None, interval_s: float) -> MeterProvider:
    """The process's metrics, shown to Prometheus, and sent by `exporter`. There is one of them a process."""
    if exporter:
        reader: PrometheusMetricReader = Pusher(exporter, interval_s)
    else:
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=_registry)
    meters = MeterProvider([reader], resource=resource, views=[REDIS], shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    SystemMetricsInstrumentor(config=PROCESS).instrument()
    return meters


def metrics_page(accept: str) -> tuple[bytes, str]:
    """All metrics as text, in the format of Prometheus or of OpenMetrics, and its content type.

    Takes some milliseconds: call it in a thread.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_registry), content_type


def may_read_metrics(peer: str, *, forwarded: bool) -> bool:
    """Whether to show the metrics, which tell of the business, to this address: to neighbours, not to the world.

    What a proxy `forwarded` comes from anywhere.
    """
    with suppress(ValueError):
        return not forwarded and ipaddress.ip_address(peer).is_private
    return False


@asynccontextmanager
async def watched_loop() -> AsyncIterator[None]:
    """Measures inside how late the event loop runs what is due: whatever blocks it shows here."""
    watch = asyncio.create_task(_watch())
    try:
        yield
    finally:
        watch.cancel()


async def _watch() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        _loop_lag.record(max(0.0, loop.time() - due))
