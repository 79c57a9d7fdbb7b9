"""Telemetry for the tests of the pages; `text` lets a test put the same words into every field that holds any."""

from __future__ import annotations

from services.dashboard.domain.kinds import Severity, SpanKind
from services.dashboard.parts import Dependency, Health, Part
from services.dashboard.queues import DeadLetter, Queue
from services.dashboard.store.rows import (
    Edge,
    Event,
    Exemplar,
    KindStats,
    Latency,
    Line,
    Link,
    LogLine,
    Metric,
    Moment,
    Node,
    OperationStats,
    OrderStory,
    Plot,
    ServiceMap,
    Source,
    Span,
    StoreStats,
    Trace,
    TraceSummary,
    TreeLine,
)

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
START_NS = 1_764_000_000_000_000_000
MS = 1_000_000


def span(
    name: str = "POST /orders/{order_id}/payment",
    *,
    service: str = "gateway",
    kind: SpanKind = SpanKind.SERVER,
    text: str = "",
    error: bool = False,
    peer: str = "",
    start_ns: int = START_NS,
    duration_ns: int = 120 * MS,
) -> Span:
    fields = {text or "http.request.method": text or "POST"}
    return Span(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_id="",
        name=text or name,
        kind=kind,
        start_ns=start_ns,
        end_ns=start_ns + duration_ns,
        error=error,
        message=text or ("broken" if error else ""),
        peer=text or peer,
        order_id=text,
        order_number=text or "K7QF-2M9X",
        attributes=fields | ({"error.type": text or "UNAVAILABLE"} if error else {}),
        events=[Event(name=text or "exception", time_ns=start_ns + MS, attributes=fields)],
        links=[Link(trace_id=TRACE_ID, span_id=SPAN_ID, attributes=fields)],
        dropped=1,
        source=Source(
            service=text or service,
            resource={text or "service.instance.id": text or "one"},
            scope=text or "services.gateway",
            scope_version=text,
        ),
    )


def summary(text: str = "", errors: int = 0) -> TraceSummary:
    return TraceSummary(
        trace_id=TRACE_ID,
        root_service=text or "gateway",
        root_name=text or "POST /orders/{order_id}/payment",
        start_ns=START_NS,
        duration_ns=120 * MS,
        spans=2,
        errors=errors,
        services=[(text or "gateway", 1), (text or "ordering", 1)],
    )


def trace(text: str = "") -> Trace:
    first = span(text=text)
    second = span("SELECT orders", service="ordering", kind=SpanKind.CLIENT, peer="postgresql", text=text, error=True)
    return Trace(
        summary=summary(text, errors=1),
        lines=[
            TreeLine(span=first, depth=0, offset_ns=0, shifted_ns=0, orphan=False),
            TreeLine(span=second, depth=1, offset_ns=30 * MS, shifted_ns=5 * MS, orphan=True),
        ],
        duration_ns=150 * MS,
        cut=True,
    )


def log_line(text: str = "", severity: int = Severity.WARN, number: int = 1) -> LogLine:
    return LogLine(
        id=number,
        time_ns=START_NS,
        severity=severity,
        service=text or "ordering",
        instance=text or "one",
        body=text or "broker unreachable",
        attributes={text or "reason": text or "refused", "exception.stacktrace": f"{text}Traceback\n  more"},
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        order_id=text,
        order_number=text or "K7QF-2M9X",
    )


def metric(text: str = "", name: str = "orders.placed", kind: str = "sum") -> Metric:
    return Metric(
        name=text or name,
        kind=kind,  # type: ignore[arg-type] # the tests name the kinds in words
        unit=text or ("s" if kind == "histogram" else "{order}"),
        description=text or "Orders placed",
        monotonic=True,
        services=[text or "ordering"],
        series=1,
        last_ns=START_NS,
    )


def plot(text: str = "", name: str = "orders.placed") -> Plot:
    return Plot(
        name=text or name,
        kind="sum",
        unit=text or "{order}",
        description=text or "Orders placed",
        aggregate="increase",
        times_s=[START_NS / 1e9, START_NS / 1e9 + 10],
        lines=[Line(labels={text or "reason": text or "BUYER"}, values=[None, 3.0])],
        hidden=2,
        exemplars=[Exemplar(time_ns=START_NS, value=0.25, trace_id=TRACE_ID, span_id=SPAN_ID)],
    )


def service_map(text: str = "") -> ServiceMap:
    latency = Latency(p50_ns=MS, p95_ns=2 * MS, p99_ns=3 * MS)
    names = [text or "gateway", f"{text}ordering", f"{text}postgresql"]
    nodes = [
        Node(
            name=name,
            kind="database" if "postgresql" in name else "service",
            calls=5,
            errors=errors,
            rate_per_s=0.5,
            latency=latency,
        )
        for name, errors in zip(names, (1, 0, 0), strict=True)
    ]
    edges = [
        Edge(source=source, target=target, calls=5, errors=1, rate_per_s=0.5, latency=latency)
        for source, target in ((names[0], names[1]), (names[1], names[2]), (names[1], names[0]))
    ]
    return ServiceMap(nodes=nodes, edges=edges, since_ns=START_NS)


def operations(text: str = "") -> list[OperationStats]:
    latency = Latency(p50_ns=MS, p95_ns=2 * MS, p99_ns=3 * MS)
    return [
        OperationStats(
            service=text or "gateway", name=text or "GET /", calls=5, errors=1, rate_per_s=0.5, latency=latency
        )
    ]


def story(text: str = "") -> OrderStory:
    happened = [
        ("span", "POST /orders/{order_id}/payment", "gateway", False),
        ("span", "UPDATE orders", "ordering", False),
        ("span", "send mail", "notifications", True),
        ("log", "mail kept", "mailbox", False),
    ]
    return OrderStory(
        order_id=text or "5b0b3c50-6a3f-5a9e-9a53-4d7d3c9c2e10",
        order_number=text or "K7QF-2M9X",
        traces=[summary(text)],
        timeline=[
            Moment(
                time_ns=START_NS + number * MS,
                kind=kind,  # type: ignore[arg-type] # a literal that mypy widens in a list
                service=text or service,
                title=text or title,
                duration_ns=MS if kind == "span" else None,
                severity=Severity.INFO,
                error=error,
                trace_id=TRACE_ID,
                span_id=SPAN_ID,
                attributes={},
            )
            for number, (kind, title, service, error) in enumerate(happened)
        ],
        cut=True,
    )


def stats() -> StoreStats:
    kind = KindStats(rows=12, oldest_ns=START_NS, received=15, rejected=2, shortened=1)
    return StoreStats(
        spans=kind,
        logs=kind,
        points=kind,
        traces=3,
        series=4,
        bytes=5_000_000,
        max_bytes=200_000_000,
        max_age_s=172_800,
        refused=7,
    )


def part(text: str = "", **changes: object) -> Part:
    health = Health(
        status="warn",
        output=text,
        dependencies=[
            Dependency(text or "postgres", "pass", 1.2, text),
            Dependency(text or "redis", "warn", None, text or "no answer in time"),
        ],
    )
    facts: dict[str, object] = {
        "name": text or "ordering",
        "kind": "service",
        "service": text or "ordering",
        "state": "running",
        "managed": True,
        "pid": 4711,
        "address": text or "127.0.0.1:8082",
        "restarts": 2,
        "cpu_percent": 1.5,
        "memory_bytes": 88_000_000,
        "version": text or "dev",
        "health": health,
        "last_lines": [text or "serving"],
    }
    return Part(**(facts | changes))  # type: ignore[arg-type] # the fields are named above, each of its type


def queue(text: str = "", *, depth: int = 0, consumers: int = 1, dead: bool = False) -> Queue:
    return Queue(text or "notifications.orders", text or "Mails to write and send", depth, consumers, dead)


def letter(text: str = "", message_id: str = "m-1") -> DeadLetter:
    return DeadLetter(
        message_id=text or message_id,
        type=text or "order.confirmed.v1",
        routing_key=text,
        reason=text or "MalformedEvent: not a CloudEvents 1.0 event",
        retries=2,
        failed_at=None,
        traceparent=f"00-{TRACE_ID}-{SPAN_ID}-01",
        payload=text or '{"id": "e-1"}',
    )
