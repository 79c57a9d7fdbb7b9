"""Traces: the list with its search, and one trace as a waterfall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.dashboard.domain.kinds import SpanKind
from services.dashboard.pages.formatting import link
from services.dashboard.pages.site import Query, Site, View
from services.dashboard.pages.titles import plain_title
from services.dashboard.pages.waterfall import bars, ticks
from services.dashboard.store.rows import TraceQuery, TraceSummary

NS_PER_MS: Final = 1_000_000
MAX_MS: Final = 10**9


@dataclass(frozen=True)
class TraceLine:
    """A trace in a list; `title` says in words how it began."""

    summary: TraceSummary
    title: str


async def search(site: Site, query: Query) -> View:
    """The traces that fit, newest or slowest first."""
    asked = _asked(query)
    found = await site.store.find_traces(asked)
    kept = {key: value for key, value in query.items() if key != "before"}
    context = {
        "lines": lines(found.traces),
        "asked": asked,
        "query": query,
        "services": await site.store.services(),
        "operations": await site.store.operations(asked.service),
        "older": link("/traces", **kept, before=found.next) if found.next else "",
        "newest": link("/traces", **kept) if asked.before else "",
        "filtered": bool(kept),
    }
    return View("traces", "Traces", context)


async def one(site: Site, _query: Query, trace_id: str) -> View:
    """Every span of a trace, with all that is known of it."""
    trace = await site.store.trace(trace_id.lower())
    title = title_of(trace.summary)
    context = {
        "trace": trace,
        "title": title,
        "bars": bars(trace),
        "ticks": ticks(trace.duration_ns),
        "first_error": next((line.span.span_id for line in trace.lines if line.span.error), ""),
        "orders": sorted({line.span.order_number for line in trace.lines if line.span.order_number}),
    }
    return View("trace", title, context)


def lines(traces: Sequence[TraceSummary]) -> list[TraceLine]:
    return [TraceLine(each, title_of(each)) for each in traces]


def title_of(summary: TraceSummary) -> str:
    """How a trace began, in words where they are known."""
    name = summary.root_name
    for kind in (SpanKind.SERVER, SpanKind.CLIENT, SpanKind.CONSUMER, SpanKind.PRODUCER):
        if title := plain_title(summary.root_service, name, kind):
            return title
    return name


def _asked(query: Query) -> TraceQuery:
    return TraceQuery(
        service=query.get("service", ""),
        operation=query.get("operation", ""),
        text=query.get("text", ""),
        order=query.get("order", ""),
        min_ns=_milliseconds(query.get("min", "")),
        errors_only=bool(query.get("errors")),
        sort="slowest" if query.get("sort") == "slowest" else "newest",
        before=query.get("before", ""),
    )


def _milliseconds(text: str) -> int | None:
    """A duration as it was typed, in nanoseconds; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value * NS_PER_MS) if 0 <= value <= MAX_MS else None
