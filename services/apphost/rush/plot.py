"""The picture of a rush: requests, latency and tickets over one axis of time, as SVG. It needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from services.apphost.rush.chaos import Outage
from services.apphost.rush.stage import Level
from services.apphost.rush.tally import Slice

WIDTH: Final = 960
LEFT, RIGHT = 72, 132  # for the axis, and for the names of the curves
TOP: Final = 84
BOTTOM: Final = 32
PANEL, GAP = 150, 56
BAR: Final = 20
TICKS: Final = 5
STYLE: Final = """
svg { font: 13px system-ui, sans-serif; background: #fbfaf7; color: #22201c }
text { fill: currentColor } .title { font-size: 20px; font-weight: 600 } .soft { fill: #6b665c }
.end { text-anchor: end } .middle { text-anchor: middle } .panel { font-weight: 600 }
.grid { stroke: #e4dfd4 } .curve { fill: none; stroke-width: 2; stroke-linejoin: round }
.bar { fill: #8a8377 } .shadow { fill: #8a8377; opacity: 0.12 }
.a { stroke: #b3361f } .b { stroke: #1f6f8b } .name-a { fill: #b3361f } .name-b { fill: #1f6f8b }
@media (prefers-color-scheme: dark) {
  svg { background: #1b1a18; color: #ece8df } .soft { fill: #a39d90 } .grid { stroke: #38352f }
  .a { stroke: #ff8a70 } .b { stroke: #6fc3df } .name-a { fill: #ff8a70 } .name-b { fill: #6fc3df }
}
"""


@dataclass(frozen=True)
class Curve:
    """Points as (seconds, value); ``look`` is ``a`` or ``b``."""

    name: str
    look: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    title: str
    curves: Sequence[Curve]


def draw(
    title: str, subtitle: str, slices: Sequence[Slice], levels: Sequence[Level], outages: Sequence[Outage] = ()
) -> str:
    """The whole SVG document; outages are bars above it, with their shadows on everything."""
    answered = [each for each in slices if each.per_s]  # nothing was answered in the others: no latency of 0
    panels = (
        Panel("Requests answered a second", [Curve("all requests", "a", [(s.at_s, s.per_s) for s in slices])]),
        Panel(
            "Latency, in milliseconds",
            [
                Curve("95th percentile", "a", [(s.at_s, s.slow_s * 1000) for s in answered]),
                Curve("median", "b", [(s.at_s, s.median_s * 1000) for s in answered]),
            ],
        ),
        Panel(
            "Tickets",
            [
                Curve("sold", "a", [(level.at_s, level.sold) for level in levels]),
                Curve("left to hold", "b", [(level.at_s, level.left) for level in levels]),
            ],
        ),
    )
    lasted_s = max([1.0, *(at for panel in panels for curve in panel.curves for at, _ in curve.points)])
    top = TOP + len(outages) * BAR
    height = top + len(panels) * (PANEL + GAP) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        _text(LEFT, 34, title, "title"),
        _text(LEFT, 56, subtitle, "soft"),
    ]
    for number, outage in enumerate(outages):
        parts += _outage(outage, TOP + number * BAR, height - BOTTOM - GAP / 2, lasted_s)
    for number, panel in enumerate(panels):
        parts += _panel(panel, top + GAP // 2 + number * (PANEL + GAP), lasted_s)
    parts.append(_text(WIDTH - RIGHT, height - 12, "seconds since the sale began", "soft end"))
    return "\n".join([*parts, "</svg>", ""])


def step(highest: float) -> float:
    """A round distance between the lines of an axis that reaches to ``highest``: 1, 2 or 5 times a power of ten."""
    rough = max(highest, 1.0) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _outage(outage: Outage, top: float, bottom: float, lasted_s: float) -> list[str]:
    left = _x(outage.from_s, lasted_s)
    right = _x(lasted_s if outage.until_s is None else min(outage.until_s, lasted_s), lasted_s)
    where = f'x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left):.1f}"'
    return [
        f'<rect class="shadow" {where} height="{bottom - top:.1f}"/>',
        f'<rect class="bar" {where} height="{BAR - 6}"/>',
        _text(WIDTH - RIGHT + 12, top + BAR - 8, f"no {outage.part}", "soft"),
    ]


def _panel(panel: Panel, top: float, lasted_s: float) -> list[str]:
    highest = max((value for curve in panel.curves for _, value in curve.points), default=0.0)
    distance = step(highest)
    ceiling = max(1, math.ceil(highest / distance)) * distance
    bottom = top + PANEL
    parts = [_text(LEFT, top - 10, panel.title, "panel")]
    for line in range(round(ceiling / distance) + 1):
        y = bottom - PANEL * line * distance / ceiling
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{line * distance:g}", "soft end"))
    seconds = range(0, int(lasted_s) + 1, max(1, int(step(lasted_s))))
    parts += [_text(_x(second, lasted_s), bottom + 16, str(second), "soft middle") for second in seconds]
    for number, curve in enumerate(panel.curves):
        parts += _curve(curve, bottom, ceiling, lasted_s)
        parts.append(_text(WIDTH - RIGHT + 12, top + 5 + number * 20, curve.name, f"name-{curve.look}"))
    return parts


def _curve(curve: Curve, bottom: float, ceiling: float, lasted_s: float) -> list[str]:
    if not curve.points:
        return []
    places = [(_x(at, lasted_s), bottom - PANEL * value / ceiling) for at, value in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return [f'<polyline class="curve {curve.look}" points="{path}"/>']


def _x(at_s: float, lasted_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at_s / lasted_s


def _text(x: float, y: float, text: str, look: str) -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
