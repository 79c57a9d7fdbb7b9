"""What both receivers do with a request: read it beside the event loop, and hand it to the writer.

Memory has two bounds: `Budget`, of the bytes that requests under way may hold, and the writer's queue. What finds
no room is refused before it is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from services.dashboard.ingest.encodings import Encoding, to_protobuf
from services.dashboard.ingest.logs import decode_logs
from services.dashboard.ingest.metrics import decode_metrics
from services.dashboard.ingest.spans import decode_spans
from services.dashboard.store.batches import Batch
from services.dashboard.store.changes import Kind
from services.dashboard.store.writer import Writer

BODIES_UNDER_WAY: Final = 6  # of the largest size; of the usual size a hundred
FULL: Final = "there is no room for more sources or series"


@dataclass(frozen=True)
class Signal:
    """One of OTLP's services: where it is, its messages, and how they are read."""

    kind: Kind
    path: str
    service: str
    request: type[Any]
    response: type[Any]
    rejected_field: str
    decode: Callable[[bytes, int], Batch]


_PACKAGE: Final = "opentelemetry.proto.collector"
SIGNALS: Final = (
    Signal(
        kind="spans",
        path="/v1/traces",
        service=f"{_PACKAGE}.trace.v1.TraceService",
        request=ExportTraceServiceRequest,
        response=ExportTraceServiceResponse,
        rejected_field="rejected_spans",
        decode=decode_spans,
    ),
    Signal(
        kind="points",
        path="/v1/metrics",
        service=f"{_PACKAGE}.metrics.v1.MetricsService",
        request=ExportMetricsServiceRequest,
        response=ExportMetricsServiceResponse,
        rejected_field="rejected_data_points",
        decode=decode_metrics,
    ),
    Signal(
        kind="logs",
        path="/v1/logs",
        service=f"{_PACKAGE}.logs.v1.LogsService",
        request=ExportLogsServiceRequest,
        response=ExportLogsServiceResponse,
        rejected_field="rejected_log_records",
        decode=decode_logs,
    ),
)


class Budget:
    """So many bytes may be under way at once."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    @contextmanager
    def held(self, size: int) -> Iterator[bool]:
        """Holds `size` bytes while inside; false where there are not so many."""
        granted = size <= self._left
        self._left -= size if granted else 0
        try:
            yield granted
        finally:
            self._left += size if granted else 0


class Intake:
    """Takes requests. `thread` reads one after the other, so that of several large ones one is in memory."""

    def __init__(
        self,
        writer: Writer,
        thread: Executor,
        *,
        max_body_bytes: int,
        max_inflated_bytes: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._writer = writer
        self._thread = thread
        self._max_inflated_bytes = max_inflated_bytes
        self._clock_ns = clock_ns
        self.max_body_bytes = max_body_bytes
        self.budget = Budget(BODIES_UNDER_WAY * max_body_bytes)

    async def take(self, signal: Signal, body: bytes, encoding: Encoding) -> Message:
        """Keeps what a request holds, and returns the answer to it, with what was rejected of it.

        Raises `Malformed`, `TooLarge`, and `Unavailable` where it comes too fast.
        """
        loop = asyncio.get_running_loop()
        batch = await loop.run_in_executor(self._thread, self._read, signal, body, encoding)
        unplaced = await self._writer.submit(batch, signal.kind)
        return _answer(signal, batch.rejected + unplaced, batch.reason or FULL)

    def refuse(self) -> NoReturn:
        """Raises `Unavailable` for a request that there is no room to read."""
        self._writer.refuse()

    def _read(self, signal: Signal, body: bytes, encoding: Encoding) -> Batch:
        message = to_protobuf(body, encoding, signal.request, max_bytes=self._max_inflated_bytes)
        return signal.decode(message, self._clock_ns())


def _answer(signal: Signal, rejected: int, reason: str) -> Message:
    """https://opentelemetry.io/docs/specs/otlp/#partial-success"""
    response: Message = signal.response()
    if rejected:
        partial = {signal.rejected_field: rejected, "error_message": f"Not kept: {reason}."}
        response = signal.response(partial_success=partial)
    return response
