"""All that is kept about one order, in the order in which it happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from services.dashboard.domain.kinds import Severity
from services.dashboard.store.conditions import marks
from services.dashboard.store.logs import select_logs
from services.dashboard.store.rows import LogLine, LogQuery, Moment, OrderStory, Span, TraceSummary
from services.dashboard.store.traces import SUMMARY, select_spans, summaries
from services.defaults.errors import NotFound

MAX_SPANS: Final = 1_000
MAX_LINES: Final = 1_000
MAX_TRACES: Final = 100
_NAMES: Final = """
SELECT order_id, order_number FROM spans WHERE order_id = :name
UNION SELECT order_id, order_number FROM spans WHERE order_number = :name
UNION SELECT order_id, order_number FROM logs WHERE order_id = :name
UNION SELECT order_id, order_number FROM logs WHERE order_number = :name
"""


def select_order_story(connection: sqlite3.Connection, number_or_id: str) -> OrderStory:
    """Raises `NotFound`."""
    pairs = connection.execute(_NAMES, {"name": number_or_id}).fetchall()
    if not pairs:
        raise NotFound("Nothing that is kept carries this order.")
    order_id = max((pair[0] or "" for pair in pairs), default="")
    number = max((pair[1] or "" for pair in pairs), default="")
    spans = _select_spans(connection, order_id, number)
    lines = _select_lines(connection, [name for name in (order_id, number) if name])
    moments = [moment for span in spans for moment in _span_moments(span)] + [_log_moment(line) for line in lines]
    return OrderStory(
        order_id=order_id,
        order_number=number,
        traces=_select_traces(connection, sorted({span.trace_id for span in spans})),
        timeline=sorted(moments, key=lambda moment: moment.time_ns),
        cut=len(spans) == MAX_SPANS or len(lines) >= MAX_LINES,
    )


def _select_spans(connection: sqlite3.Connection, order_id: str, number: str) -> list[Span]:
    condition = (
        "s.id IN (SELECT id FROM spans WHERE order_id = ? UNION SELECT id FROM spans WHERE order_number = ?)"
        " ORDER BY s.start_ns LIMIT ?"
    )
    return select_spans(connection, condition, order_id, number, MAX_SPANS)


def _select_lines(connection: sqlite3.Connection, names: Sequence[str]) -> list[LogLine]:
    pages = [select_logs(connection, LogQuery(order=name, limit=MAX_LINES)) for name in names]
    return list({line.id: line for page in pages for line in page.lines}.values())


def _select_traces(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> list[TraceSummary]:
    keys = [bytes.fromhex(trace_id) for trace_id in trace_ids[:MAX_TRACES]]
    rows = connection.execute(
        f"SELECT {SUMMARY} FROM traces t WHERE t.trace_id IN ({marks(keys)}) ORDER BY t.start_ns",  # noqa: S608 # of constants
        keys,
    ).fetchall()
    return summaries(connection, rows)


def _span_moments(span: Span) -> Iterator[Moment]:
    """The span where it begins, and what it says happened within."""
    yield Moment(
        time_ns=span.start_ns,
        kind="span",
        service=span.service,
        title=span.name,
        duration_ns=span.duration_ns,
        severity=0,
        error=span.error,
        trace_id=span.trace_id,
        span_id=span.span_id,
        attributes=span.attributes,
    )
    for event in span.events:
        yield Moment(
            time_ns=event.time_ns,
            kind="event",
            service=span.service,
            title=event.name,
            duration_ns=None,
            severity=0,
            error=False,
            trace_id=span.trace_id,
            span_id=span.span_id,
            attributes=event.attributes,
        )


def _log_moment(line: LogLine) -> Moment:
    return Moment(
        time_ns=line.time_ns,
        kind="log",
        service=line.service,
        title=line.body,
        duration_ns=None,
        severity=line.severity,
        error=line.severity >= Severity.ERROR,
        trace_id=line.trace_id,
        span_id=line.span_id,
        attributes=line.attributes,
    )
