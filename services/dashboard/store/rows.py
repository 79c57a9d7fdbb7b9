"""What is read from the store, and what may be asked of it.

Times are nanoseconds since the epoch, durations nanoseconds, ids lowercase hexadecimal as OpenTelemetry writes
them (32 digits a trace, 16 a span). Every text came from outside and may hold anything, HTML too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from services.dashboard.domain.kinds import SpanKind

Json = Mapping[str, Any]
Sort = Literal["newest", "slowest"]
MetricKind = Literal["gauge", "sum", "histogram"]
Aggregate = Literal["rate", "increase", "avg", "min", "max", "last", "sum", "count", "p50", "p75", "p90", "p95", "p99"]


@dataclass(frozen=True, kw_only=True)
class TraceQuery:
    """Which traces. All that is given must hold; empty and None ask for nothing.

    `service`, `operation` and `text` must all be true of one and the same span; `text` is looked for in its
    name, its message and its attributes, in any case. `order` is an order's number or id. `min_ns` is the least
    duration of the whole trace. `before` is `TracePage.next`.
    """

    service: str = ""
    operation: str = ""
    text: str = ""
    order: str = ""
    min_ns: int | None = None
    errors_only: bool = False
    sort: Sort = "newest"
    before: str = ""
    limit: int = 50


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """A line in the list. `root` is the earliest span without a parent, or where none has come, the earliest.

    `services` are in order of their number of spans, most first. `errors` counts spans with the status ERROR.
    """

    trace_id: str
    root_service: str
    root_name: str
    start_ns: int
    duration_ns: int
    spans: int
    errors: int
    services: Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class TracePage:
    """`next` asks for the following page as `TraceQuery.before`; empty: there is none."""

    traces: Sequence[TraceSummary]
    next: str


@dataclass(frozen=True, kw_only=True)
class Event:
    name: str
    time_ns: int
    attributes: Json


@dataclass(frozen=True, kw_only=True)
class Link:
    trace_id: str
    span_id: str
    attributes: Json


@dataclass(frozen=True, kw_only=True)
class Source:
    """Who sent it: the resource, which names the instance and the version too, and the instrumentation scope."""

    service: str
    resource: Json
    scope: str
    scope_version: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """`parent_id` is empty where there is none. `peer` names the system called, such as `postgresql`.

    `dropped` counts attributes, events and links that the sender or the receiver left out.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    error: bool
    message: str
    peer: str
    order_id: str
    order_number: str
    attributes: Json
    events: Sequence[Event]
    links: Sequence[Link]
    dropped: int
    source: Source

    @property
    def service(self) -> str:
        return self.source.service

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True, kw_only=True)
class TreeLine:
    """A line of the waterfall: lines are in order of display, each child below its parent.

    `offset_ns` counts from the start of the trace, with `shifted_ns` added, by which the span was moved because
    its clock said that it began before its parent. `orphan`: it names a parent that has not come (yet).
    """

    span: Span
    depth: int
    offset_ns: int
    shifted_ns: int
    orphan: bool


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A whole trace. `duration_ns` spans all lines. `cut`: it has more spans than are shown."""

    summary: TraceSummary
    lines: Sequence[TreeLine]
    duration_ns: int
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Percentiles of durations, in nanoseconds."""

    p50_ns: int
    p95_ns: int
    p99_ns: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How often, how well and how fast."""

    calls: int
    errors: int
    rate_per_s: float
    latency: Latency


@dataclass(frozen=True, kw_only=True)
class Node(Figures):
    """A service, or a system that services call (`kind` other than `service`: database, messaging, other).

    The numbers are those of the calls and messages that it took.
    """

    name: str
    kind: Literal["service", "database", "messaging", "other"]


@dataclass(frozen=True, kw_only=True)
class Edge(Figures):
    """`source` calls `target`, or messages go from one to the other. Latency as the called one measured it, or
    for a system that sends no spans, as the caller did.
    """

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class ServiceMap:
    """`since_ns` is where the numbers begin: later than asked for where there were too many spans to count."""

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    since_ns: int


@dataclass(frozen=True, kw_only=True)
class OperationStats(Figures):
    """The calls or messages of one name that a service took."""

    service: str
    name: str


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Which log lines; as `TraceQuery`. `severity` is the least number, such as `Severity.WARN`."""

    service: str = ""
    instance: str = ""
    severity: int = 0
    text: str = ""
    trace_id: str = ""
    span_id: str = ""
    order: str = ""
    before: str = ""
    limit: int = 200


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """`id` grows with arrival. `time_ns` is the event's time, else when it was observed, else when it came.

    `trace_id` and `span_id` are empty outside a trace.
    """

    id: int
    time_ns: int
    severity: int
    service: str
    instance: str
    body: str
    attributes: Json
    trace_id: str
    span_id: str
    order_id: str
    order_number: str


@dataclass(frozen=True, kw_only=True)
class LogPage:
    """Newest first. `next` asks for the following page as `LogQuery.before`; empty: there is none."""

    lines: Sequence[LogLine]
    next: str


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A line of the catalogue. `monotonic`: a sum that only grows, whose rate is what is of interest."""

    name: str
    kind: MetricKind
    unit: str
    description: str
    monotonic: bool
    services: Sequence[str]
    series: int
    last_ns: int


@dataclass(frozen=True, kw_only=True)
class PlotQuery:
    """What to plot of one metric, from `since_ns` to `until_ns`, a value each `step_ns`.

    `where` keeps the series whose labels have these values; `group_by` makes a line of each combination of these
    labels, all others added up. Beside a metric's attributes, `service` and `instance` are labels. The
    aggregates: gauges and other sums have avg, min, max, last, sum (of the series' averages); monotonic sums
    rate (a second) and increase; histograms rate and count (of measurements), avg, sum and percentiles. None means
    what suits the kind: avg for gauges, sum for other sums, rate, p95.
    """

    name: str
    since_ns: int
    until_ns: int
    step_ns: int
    aggregate: Aggregate | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    group_by: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a plot; a value belongs to each of the plot's times, None where nothing came."""

    labels: Mapping[str, str]
    values: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Exemplar:
    """A single measurement, and the trace in which it was made."""

    time_ns: int
    value: float
    trace_id: str
    span_id: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """`times_s` are the ends of the steps, in seconds since the epoch, as uPlot wants them.

    `unit` is the metric's, without the `/s` of a rate. `hidden` counts lines beyond the most that are given.
    """

    name: str
    kind: MetricKind
    unit: str
    description: str
    aggregate: Aggregate
    times_s: Sequence[float]
    lines: Sequence[Line]
    hidden: int
    exemplars: Sequence[Exemplar]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happened to an order: a span, an event of a span, or a log line.

    `severity` is a log line's; `error` is true for a failed span and for a log line from ERROR upwards.
    """

    time_ns: int
    kind: Literal["span", "event", "log"]
    service: str
    title: str
    duration_ns: int | None
    severity: int
    error: bool
    trace_id: str
    span_id: str
    attributes: Json


@dataclass(frozen=True, kw_only=True)
class OrderStory:
    """All that is kept about one order. Number or id is empty where nothing that came says it."""

    order_id: str
    order_number: str
    traces: Sequence[TraceSummary]
    timeline: Sequence[Moment]
    cut: bool


@dataclass(frozen=True, kw_only=True)
class KindStats:
    """One kind of telemetry. Rows are what is kept; the rest counts since the start of the process.

    `rejected`: not kept because they could not be understood or would be too many; `shortened`: kept, but cut
    to the limits.
    """

    rows: int
    oldest_ns: int | None
    received: int
    rejected: int
    shortened: int


@dataclass(frozen=True, kw_only=True)
class StoreStats:
    """`refused` counts requests answered with \"later\" because too much came at once; nothing of them is kept."""

    spans: KindStats
    logs: KindStats
    points: KindStats
    traces: int
    series: int
    bytes: int
    max_bytes: int
    max_age_s: float
    refused: int
