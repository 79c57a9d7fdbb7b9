"""Where each service stands on the map: callers to the left of those they call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

from services.dashboard.store.rows import Edge, Node, ServiceMap

BOX_WIDTH: Final = 172
BOX_HEIGHT: Final = 68
COLUMN_GAP: Final = 104
ROW_GAP: Final = 28
MARGIN: Final = 12
TIP: Final = 6  # an arrow's tip, before the box that it points to


@dataclass(frozen=True)
class Box:
    """A node, and the upper left corner of its box."""

    node: Node
    x: int
    y: int


@dataclass(frozen=True)
class Way:
    """An edge as an SVG path; `width` grows with its traffic."""

    edge: Edge
    path: str
    width: float


@dataclass(frozen=True)
class Drawing:
    boxes: Sequence[Box]
    ways: Sequence[Way]
    width: int
    height: int


def lay_out(found: ServiceMap) -> Drawing:
    """The map as a drawing; the same services always stand in the same places."""
    columns = _columns(found)
    tallest = max((len(column) for column in columns), default=0)
    boxes = [
        Box(node, MARGIN + number * (BOX_WIDTH + COLUMN_GAP), _top(row, len(column), tallest))
        for number, column in enumerate(columns)
        for row, node in enumerate(column)
    ]
    places = {box.node.name: box for box in boxes}
    return Drawing(
        boxes=boxes,
        ways=[_way(edge, places[edge.source], places[edge.target]) for edge in found.edges],
        width=2 * MARGIN + len(columns) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP,
        height=2 * MARGIN + tallest * (BOX_HEIGHT + ROW_GAP),  # the last gap is for ways that lead back
    )


def _columns(found: ServiceMap) -> list[list[Node]]:
    """The nodes by how far they are from where requests come in; each column near those that call it."""
    depths = _depths(sorted(node.name for node in found.nodes), found.edges)
    columns: dict[int, list[Node]] = defaultdict(list)
    for node in sorted(found.nodes, key=lambda node: node.name):
        columns[depths[node.name]].append(node)
    rows: dict[str, float] = {}
    for depth in sorted(columns):
        columns[depth].sort(key=lambda node: _pull(node.name, found.edges, rows))
        rows |= {node.name: row - len(columns[depth]) / 2 for row, node in enumerate(columns[depth])}
    return [columns[depth] for depth in sorted(columns)]


def _depths(names: Sequence[str], edges: Sequence[Edge]) -> Mapping[str, int]:
    """How many calls it is at most to each node. A circle of calls is cut where the fewest go."""
    calls: dict[str, dict[str, int]] = {name: {} for name in names}
    for edge in edges:
        if edge.source != edge.target:
            calls[edge.target][edge.source] = edge.calls
    depths: dict[str, int] = {}

    def rank(name: str) -> tuple[bool, float]:
        """First what is called by those that have their places; then what the others call least."""
        callers = calls[name]
        unplaced = sum(count for caller, count in callers.items() if caller not in depths)
        return bool(callers) and not callers.keys() & depths.keys(), unplaced / max(1, sum(callers.values()))

    while len(depths) < len(names):
        name = min((name for name in names if name not in depths), key=rank)
        depths[name] = 1 + max((depths[caller] for caller in calls[name] if caller in depths), default=-1)
    return depths


def _pull(name: str, edges: Sequence[Edge], rows: Mapping[str, float]) -> float:
    callers = [rows[edge.source] for edge in edges if edge.target == name and edge.source in rows]
    return sum(callers) / len(callers) if callers else 0.0


def _top(row: int, rows: int, tallest: int) -> int:
    """Columns are centred."""
    step = BOX_HEIGHT + ROW_GAP
    return MARGIN + row * step + (tallest - rows) * step // 2


def _way(edge: Edge, source: Box, target: Box) -> Way:
    start_y, end_y = source.y + BOX_HEIGHT / 2, target.y + BOX_HEIGHT / 2
    width = round(1 + min(3.0, log10(1 + edge.calls) / 1.5), 2)
    if target.x > source.x:
        start_x, end_x = source.x + BOX_WIDTH, target.x - TIP
        bend = (end_x - start_x) / 2
        path = f"M{start_x},{start_y} C{start_x + bend},{start_y} {end_x - bend},{end_y} {end_x},{end_y}"
        return Way(edge, path, width)
    # Back, or within the column: around below.
    middle_x, back_x = source.x + BOX_WIDTH / 2, target.x + BOX_WIDTH / 2
    low = max(source.y, target.y) + BOX_HEIGHT + ROW_GAP
    bottom = target.y + BOX_HEIGHT + TIP
    return Way(edge, f"M{middle_x},{source.y + BOX_HEIGHT} C{middle_x},{low} {back_x},{low} {back_x},{bottom}", width)
