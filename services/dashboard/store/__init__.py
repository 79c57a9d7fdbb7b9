"""The telemetry that is kept: one SQLite file, written by one thread and read by others, never by the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from services.dashboard.store.changes import Changes
from services.dashboard.store.logs import select_logs
from services.dashboard.store.metrics import select_label_values, select_metrics, select_plot
from services.dashboard.store.orders import select_order_story
from services.dashboard.store.pruning import Limits
from services.dashboard.store.reading import Readers, open_readers
from services.dashboard.store.rows import (
    LogPage,
    LogQuery,
    Metric,
    OperationStats,
    OrderStory,
    Plot,
    PlotQuery,
    ServiceMap,
    StoreStats,
    Trace,
    TracePage,
    TraceQuery,
)
from services.dashboard.store.schema import open_writer
from services.dashboard.store.service_map import select_operation_stats, select_service_map
from services.dashboard.store.stats import select_stats
from services.dashboard.store.traces import select_operations, select_services, select_trace, select_traces
from services.dashboard.store.writer import Writer


class Store:
    """Reads. Each raises `Unavailable` where it takes too long or the file cannot be read."""

    def __init__(self, readers: Readers, writer: Writer, changes: Changes, limits: Limits) -> None:
        self._readers = readers
        self._limits = limits
        self.writer = writer
        self.changes = changes

    async def services(self) -> Sequence[str]:
        """The names of all services that anything has come from, in alphabetical order."""
        return await self._readers.run(select_services)

    async def operations(self, service: str = "") -> Sequence[str]:
        """The names of the spans of a service, or of all: the first thousand, in alphabetical order."""
        return await self._readers.run(lambda connection: select_operations(connection, service))

    async def find_traces(self, query: TraceQuery) -> TracePage:
        """The traces that fit; raises `Invalid` where `before` is no cursor."""
        return await self._readers.run(lambda connection: select_traces(connection, query))

    async def trace(self, trace_id: str) -> Trace:
        """A whole trace as a tree; raises `NotFound` (also where the id is none)."""
        return await self._readers.run(lambda connection: select_trace(connection, trace_id))

    async def service_map(self, since_ns: int, until_ns: int) -> ServiceMap:
        """Who calls whom, how often, how well and how fast."""
        return await self._readers.run(lambda connection: select_service_map(connection, since_ns, until_ns))

    async def operation_stats(self, since_ns: int, until_ns: int) -> Sequence[OperationStats]:
        """The operations that services take calls for, most calls first."""
        return await self._readers.run(lambda connection: select_operation_stats(connection, since_ns, until_ns))

    async def find_logs(self, query: LogQuery) -> LogPage:
        """The log lines that fit, newest first; raises `Invalid` where `before` is no cursor."""
        return await self._readers.run(lambda connection: select_logs(connection, query))

    async def metrics(self) -> Sequence[Metric]:
        """The catalogue of all metrics, by name."""
        return await self._readers.run(select_metrics)

    async def label_values(self, name: str) -> dict[str, Sequence[str]]:
        """Of each label of a metric the values that occur; raises `NotFound`."""
        return await self._readers.run(lambda connection: select_label_values(connection, name))

    async def plot(self, query: PlotQuery) -> Plot:
        """Lines over time; raises `NotFound` for an unknown metric, `Invalid` for an aggregate that it has not."""
        return await self._readers.run(lambda connection: select_plot(connection, query))

    async def order_story(self, number_or_id: str) -> OrderStory:
        """What is known of an order; raises `NotFound` where nothing carries it."""
        return await self._readers.run(lambda connection: select_order_story(connection, number_or_id))

    async def stats(self) -> StoreStats:
        """How much is kept, and what was lost."""
        counts, limits = self.writer.counts, self._limits
        return await self._readers.run(lambda connection: select_stats(connection, counts, limits))

    async def check(self) -> None:
        """Raises where the file cannot be read or written."""
        await self.writer.check()
        await self._readers.run(lambda connection: connection.execute("SELECT 1 FROM sources LIMIT 1").fetchone())


@asynccontextmanager
async def open_store(path: Path, limits: Limits, *, clock_ns: Callable[[], int] = time.time_ns) -> AsyncIterator[Store]:
    """The telemetry at `path`. Somebody must run `writer.run`, or nothing is kept.

    Raises `SettingsError` where the path holds what is not ours.
    """
    loop = asyncio.get_running_loop()
    changes = Changes()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="telemetry-writer") as thread:
        connection = await loop.run_in_executor(thread, open_writer, path)
        try:
            writer = Writer(connection, thread, limits, changes, clock_ns=clock_ns)
            with open_readers(path) as readers:
                yield Store(readers, writer, changes, limits)
        finally:
            await loop.run_in_executor(thread, connection.close)
