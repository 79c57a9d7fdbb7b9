"""What is to be kept, as the receivers hand it over: rows as the tables have them, but for their numbers.

Ids are bytes here. Rows name their source and series by digest; the writer knows the numbers of those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class SourceRow(NamedTuple):
    """`resource` is JSON."""

    service: str
    instance: str
    version: str
    resource: str
    scope: str
    scope_version: str


class SpanRow(NamedTuple):
    """`attributes`, `events` and `links` are JSON; the latter two empty where there are none."""

    source: bytes
    service: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    error: bool
    message: str
    peer: str
    order_id: str | None
    order_number: str | None
    attributes: str
    events: str
    links: str
    dropped: int


class LogRow(NamedTuple):
    """`attributes` is JSON."""

    source: bytes
    service: str
    time_ns: int
    severity: int
    severity_text: str
    body: str
    attributes: str
    trace_id: bytes | None
    span_id: bytes | None
    order_id: str | None
    order_number: str | None


class SeriesRow(NamedTuple):
    """`attributes` is JSON."""

    name: str
    kind: str
    unit: str
    description: str
    monotonic: bool
    cumulative: bool
    service: str
    instance: str
    attributes: str


class PointRow(NamedTuple):
    """`value` of a number, `counted` to `buckets` of a histogram. `buckets` and `exemplars` are JSON or None."""

    series: bytes
    time_ns: int
    start_ns: int
    value: float | None
    counted: int | None
    total: float | None
    least: float | None
    most: float | None
    buckets: str | None
    exemplars: str | None


@dataclass(kw_only=True)
class Batch:
    """What one request brought, of one kind. `reason` says why the first of the rejected was so."""

    sources: Mapping[bytes, SourceRow] = field(default_factory=dict)
    spans: Sequence[SpanRow] = ()
    logs: Sequence[LogRow] = ()
    series: Mapping[bytes, SeriesRow] = field(default_factory=dict)
    points: Sequence[PointRow] = ()
    rejected: int = 0
    shortened: int = 0
    reason: str = ""

    def __len__(self) -> int:
        return len(self.spans) + len(self.logs) + len(self.points)
