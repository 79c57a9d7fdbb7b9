"""Finding traces, and one of them as a tree."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from services.dashboard.domain.kinds import SpanKind
from services.dashboard.domain.trees import Branch, build_tree
from services.dashboard.store.conditions import (
    MAX_LIMIT,
    Conditions,
    contains,
    cursor,
    id_bytes,
    marks,
    page_size,
    read_cursor,
)
from services.dashboard.store.rows import (
    Event,
    Link,
    Source,
    Span,
    Trace,
    TracePage,
    TraceQuery,
    TraceSummary,
    TreeLine,
)
from services.defaults.errors import NotFound

MAX_LINES: Final = 2_000
SUMMARY: Final = "t.id, t.trace_id, t.root_service, t.root_name, t.start_ns, t.end_ns - t.start_ns, t.spans, t.errors"
SPAN: Final = (
    "s.trace_id, s.span_id, s.parent_id, s.name, s.kind, s.start_ns, s.end_ns, s.error, s.message, s.peer,"
    " s.order_id, s.order_number, s.attributes, s.events, s.links, s.dropped, s.source_id"
)
_KEYS: Final = {"newest": "t.start_ns", "slowest": "(t.end_ns - t.start_ns)"}
_TEXT: Final = r"(s.name LIKE ? ESCAPE '\' OR s.message LIKE ? ESCAPE '\' OR s.attributes LIKE ? ESCAPE '\')"


def select_traces(connection: sqlite3.Connection, query: TraceQuery) -> TracePage:
    key = _KEYS[query.sort]
    limit = page_size(query.limit)
    conditions = _conditions(query)
    if query.before:
        conditions.add(f"({key}, t.id) < (?, ?)", *read_cursor(query.before))
    rows = connection.execute(
        f"SELECT {SUMMARY} FROM traces t {conditions.where()}"  # noqa: S608 # of constants; values are parameters
        f" ORDER BY {key} DESC, t.id DESC LIMIT ?",
        (*conditions.values, limit + 1),
    ).fetchall()
    page = rows[:limit]
    last = page[-1] if len(rows) > limit else None
    following = cursor(last[4 if query.sort == "newest" else 5], last[0]) if last else ""
    return TracePage(traces=summaries(connection, page), next=following)


def select_trace(connection: sqlite3.Connection, trace_id: str) -> Trace:
    """Raises `NotFound`."""
    key = id_bytes(trace_id, 16)
    row = connection.execute(f"SELECT {SUMMARY} FROM traces t WHERE t.trace_id = ?", (key,)).fetchone()  # noqa: S608 # of constants
    spans = select_spans(connection, "s.trace_id = ? ORDER BY s.start_ns LIMIT ?", key, MAX_LINES + 1)
    if row is None or not spans:
        raise NotFound("There is no such trace, or it is so old that it was forgotten.")
    branches = build_tree(spans[:MAX_LINES])
    start_ns = min(branch.start_ns for branch in branches)
    return Trace(
        summary=summaries(connection, [row])[0],
        lines=[_line(branch, start_ns) for branch in branches],
        duration_ns=max(branch.end_ns for branch in branches) - start_ns,
        cut=len(spans) > MAX_LINES,
    )


def summaries(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> list[TraceSummary]:
    """Rows of `SUMMARY` as they are shown."""
    services = _services(connection, [row[1] for row in rows])
    return [
        TraceSummary(
            trace_id=trace_id.hex(),
            root_service=root_service,
            root_name=root_name,
            start_ns=start_ns,
            duration_ns=duration_ns,
            spans=spans,
            errors=errors,
            services=services[trace_id].most_common(),
        )
        for _, trace_id, root_service, root_name, start_ns, duration_ns, spans, errors in rows
    ]


def select_spans(connection: sqlite3.Connection, condition: str, *values: Any) -> list[Span]:
    """The spans `s` that fit the condition, a constant that may order and limit them."""
    rows = connection.execute(f"SELECT {SPAN} FROM spans s WHERE {condition}", values).fetchall()  # noqa: S608 # of constants

    @cache
    def source(number: int) -> Source:
        return _select_source(connection, number)

    return [_span(row, source(row[-1])) for row in rows]


def select_services(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT DISTINCT service FROM sources UNION SELECT service FROM series ORDER BY 1")
    return [service for (service,) in rows]


def select_operations(connection: sqlite3.Connection, service: str) -> list[str]:
    conditions = Conditions()
    conditions.add_if("service = ?", service)
    rows = connection.execute(
        f"SELECT DISTINCT name FROM spans {conditions.where()} ORDER BY name LIMIT ?",  # noqa: S608 # of constants
        (*conditions.values, MAX_LIMIT),
    )
    return [name for (name,) in rows]


def _conditions(query: TraceQuery) -> Conditions:
    conditions = Conditions()
    conditions.add_if("t.end_ns - t.start_ns >= ?", query.min_ns)
    if query.errors_only:
        conditions.add("t.errors > 0")
    conditions.add_if(
        "t.trace_id IN (SELECT trace_id FROM spans WHERE order_id = ?"
        " UNION SELECT trace_id FROM spans WHERE order_number = ?)",
        query.order,
    )
    span = Conditions()
    # The plus keeps SQLite from looking through all spans of a name for each trace, rather than the trace's.
    span.add_if("+s.service = ?", query.service)
    span.add_if("+s.name = ?", query.operation)
    span.add_if(_TEXT, contains(query.text))
    if span.terms:
        exists = f"EXISTS (SELECT 1 FROM spans s {span.where()} AND s.trace_id = t.trace_id)"  # noqa: S608 # of constants
        conditions.add(exists, *span.values)
    return conditions


def _services(connection: sqlite3.Connection, trace_ids: Sequence[bytes]) -> dict[bytes, Counter[str]]:
    counts: dict[bytes, Counter[str]] = defaultdict(Counter)
    rows = connection.execute(
        "SELECT trace_id, service, count(*) FROM spans"  # noqa: S608 # of constants
        f" WHERE trace_id IN ({marks(trace_ids)}) GROUP BY trace_id, service",
        trace_ids,
    )
    for trace_id, service, count in rows:
        counts[trace_id][service] = count
    return counts


def _select_source(connection: sqlite3.Connection, number: int) -> Source:
    service, resource, scope, scope_version = connection.execute(
        "SELECT service, resource, scope, scope_version FROM sources WHERE id = ?", (number,)
    ).fetchone()
    return Source(service=service, resource=json.loads(resource), scope=scope, scope_version=scope_version)


def _span(row: tuple[Any, ...], source: Source) -> Span:
    trace_id, span_id, parent_id, name, kind, start_ns, end_ns, error, message, peer, order_id, number, *rest = row
    attributes, events, links, dropped, _ = rest
    return Span(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent_id.hex(),
        name=name,
        kind=SpanKind(kind),
        start_ns=start_ns,
        end_ns=end_ns,
        error=bool(error),
        message=message,
        peer=peer,
        order_id=order_id or "",
        order_number=number or "",
        attributes=json.loads(attributes),
        events=[Event(name=each[0], time_ns=each[1], attributes=each[2]) for each in json.loads(events or "[]")],
        links=[Link(trace_id=each[0], span_id=each[1], attributes=each[2]) for each in json.loads(links or "[]")],
        dropped=dropped,
        source=source,
    )


def _line(branch: Branch[Span], start_ns: int) -> TreeLine:
    return TreeLine(
        span=branch.span,
        depth=branch.depth,
        offset_ns=branch.start_ns - start_ns,
        shifted_ns=branch.shift_ns,
        orphan=branch.orphan,
    )
