"""A trace as a waterfall: its lines in words and in parts of its width."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.dashboard.pages.formatting import link
from services.dashboard.pages.titles import kind_words, plain_title
from services.dashboard.store.rows import Json, Source, Span, Trace, TreeLine

MAX_INDENT: Final = 8
LEAST_WIDTH: Final = 0.25  # percent: what lasted next to nothing is still seen
TICKS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A line: what was done, by whom, and when. `left` and `width` are in percent of the whole."""

    span: Span
    title: str
    kind: str
    indent: int
    left: float
    width: float
    error_code: str
    shifted_ns: int
    orphan: bool
    attributes: Sequence[tuple[str, str]]
    events: Sequence[tuple[str, int, Sequence[tuple[str, str]]]]
    sender: Sequence[tuple[str, str]]
    logs: str


def bars(trace: Trace) -> list[Bar]:
    """The lines of the waterfall, from top to bottom."""
    return [_bar(line, max(1, trace.duration_ns)) for line in trace.lines]


def ticks(duration_ns: int) -> list[int]:
    """Where the axis has its marks, in nanoseconds from the start."""
    return [duration_ns * number // (TICKS - 1) for number in range(TICKS)]


def pairs(attributes: Json) -> list[tuple[str, str]]:
    """Attributes as texts, by name."""
    return [(name, as_text(value)) for name, value in sorted(attributes.items())]


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bar(line: TreeLine, whole_ns: int) -> Bar:
    span = line.span
    title = plain_title(span.service, span.name, span.kind, peer=span.peer)
    left = min(100.0, 100 * line.offset_ns / whole_ns)
    return Bar(
        span=span,
        title=title or span.name,
        kind=kind_words(span.kind),
        indent=min(line.depth, MAX_INDENT),
        left=round(left, 3),
        width=round(max(LEAST_WIDTH, min(100 - left, 100 * span.duration_ns / whole_ns)), 3),
        error_code=as_text(span.attributes.get("error.type", "")),
        shifted_ns=line.shifted_ns,
        orphan=line.orphan,
        attributes=pairs(span.attributes),
        events=[(event.name, event.time_ns - span.start_ns, pairs(event.attributes)) for event in span.events],
        sender=_sender(span.source),
        logs=link("/logs", trace=span.trace_id, span=span.span_id),
    )


def _sender(source: Source) -> list[tuple[str, str]]:
    """The resource, and before it the scope under the names that OpenTelemetry has for it outside OTLP."""
    scope = (("otel.scope.name", source.scope), ("otel.scope.version", source.scope_version))
    return [(name, value) for name, value in scope if value] + pairs(source.resource)
