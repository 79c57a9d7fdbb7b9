"""Who calls whom: from the spans that cross a border between two services, or to a system that sends no spans."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from services.dashboard.domain.kinds import SpanKind
from services.dashboard.domain.latencies import percentile
from services.dashboard.store.rows import Edge, Figures, Latency, Node, OperationStats, ServiceMap

MAX_HOPS: Final = 10_000
_SELECT: Final = """
SELECT c.start_ns, c.kind, c.service, c.name, c.peer, c.error, c.end_ns - c.start_ns, p.service
FROM spans c LEFT JOIN spans p ON p.trace_id = c.trace_id AND p.span_id = c.parent_id
WHERE (c.kind IN (2, 5) OR c.peer <> '') AND c.start_ns BETWEEN ? AND ?
ORDER BY c.start_ns DESC LIMIT ?
"""
_TAKEN: Final = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})
_NO_DATABASES: Final = frozenset({"smtp"})

K = TypeVar("K", bound=Hashable)
NodeKind = Literal["service", "database", "messaging", "other"]


class Hop(NamedTuple):
    """A span of this kind; `caller` is its parent's service, None where that is not known."""

    start_ns: int
    kind: int
    service: str
    name: str
    peer: str
    error: int
    duration_ns: int
    caller: str | None

    @property
    def source(self) -> str | None:
        if self.kind == SpanKind.CONSUMER and self.peer:
            return self.peer
        return self.caller if self.kind in _TAKEN else self.service

    @property
    def target(self) -> str:
        return self.service if self.kind in _TAKEN else self.peer


def select_service_map(connection: sqlite3.Connection, since_ns: int, until_ns: int) -> ServiceMap:
    hops, since_ns = _hops(connection, since_ns, until_ns)
    seconds = (until_ns - since_ns) / 1e9
    kinds: dict[str, NodeKind] = {}
    for hop in hops:
        kinds.setdefault(hop.service, "service")
        if hop.caller:
            kinds.setdefault(hop.caller, "service")
        if hop.peer:
            kinds.setdefault(hop.peer, _peer_kind(hop))
    received = _figures(hops, lambda hop: hop.target, seconds)
    edges = _figures((hop for hop in hops if hop.source not in (None, hop.target)), _ends, seconds)
    silent = _figures_of([], seconds)
    return ServiceMap(
        nodes=[Node(name=name, kind=kinds[name], **vars(received.get(name, silent))) for name in sorted(kinds)],
        edges=[
            Edge(source=source, target=target, **vars(figures)) for (source, target), figures in sorted(edges.items())
        ],
        since_ns=since_ns,
    )


def select_operation_stats(connection: sqlite3.Connection, since_ns: int, until_ns: int) -> list[OperationStats]:
    hops, since_ns = _hops(connection, since_ns, until_ns)
    taken = (hop for hop in hops if hop.kind in _TAKEN)
    figures = _figures(taken, lambda hop: (hop.service, hop.name), (until_ns - since_ns) / 1e9)
    operations = [OperationStats(service=service, name=name, **vars(each)) for (service, name), each in figures.items()]
    return sorted(operations, key=lambda each: -each.calls)


def _hops(connection: sqlite3.Connection, since_ns: int, until_ns: int) -> tuple[Sequence[Hop], int]:
    """The newest hops, and since when they are all there."""
    rows = connection.execute(_SELECT, (since_ns, until_ns, MAX_HOPS)).fetchall()
    hops = [Hop(*row) for row in rows]
    return hops, hops[-1].start_ns if len(hops) == MAX_HOPS else since_ns


def _ends(hop: Hop) -> tuple[str, str]:
    return hop.source or "", hop.target


def _figures(hops: Iterable[Hop], key: Callable[[Hop], K], seconds: float) -> dict[K, Figures]:
    groups: dict[K, list[Hop]] = defaultdict(list)
    for hop in hops:
        groups[key(hop)].append(hop)
    return {each: _figures_of(group, seconds) for each, group in groups.items()}


def _figures_of(hops: Sequence[Hop], seconds: float) -> Figures:
    durations = [hop.duration_ns for hop in hops]
    latency = Latency(
        p50_ns=percentile(durations, 0.5), p95_ns=percentile(durations, 0.95), p99_ns=percentile(durations, 0.99)
    )
    return Figures(
        calls=len(hops),
        errors=sum(hop.error for hop in hops),
        rate_per_s=len(hops) / max(seconds, 1e-9),
        latency=latency,
    )


def _peer_kind(hop: Hop) -> NodeKind:
    if hop.kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
        return "messaging"
    return "other" if hop.peer in _NO_DATABASES else "database"
