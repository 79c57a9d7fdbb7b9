"""Metrics go on being sent whatever happens to one sending."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from services.defaults.telemetry.metering import Pusher

INTERVAL_S = 0.01
PATIENCE_S = 10.0


class Stumbling(MetricExporter):
    """Breaks at the first sending."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.again = threading.Event()

    def export(self, *_: Any, **__: Any) -> MetricExportResult:
        self.sent += 1
        if self.sent == 1:
            raise ZeroDivisionError
        self.again.set()
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self.sent = 0


def test_a_sending_that_breaks_is_not_the_last() -> None:
    exporter = Stumbling()
    meters = MeterProvider(metric_readers=[Pusher(exporter, INTERVAL_S)], shutdown_on_exit=False)
    meters.get_meter("test").create_counter("tries").add(1)
    try:
        assert exporter.again.wait(PATIENCE_S)
    finally:
        meters.shutdown()
