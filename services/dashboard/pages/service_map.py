"""The map: who calls whom, how often, how well, how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.dashboard.pages.formatting import NS_PER_S
from services.dashboard.pages.map_layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from services.dashboard.pages.site import Query, Site, View

RANGES: Final[Mapping[str, int]] = {"5m": 300, "15m": 900, "1h": 3600, "6h": 21_600}
DEFAULT_RANGE: Final = "15m"


async def page(site: Site, query: Query) -> View:
    span = query.get("range", "") if query.get("range", "") in RANGES else DEFAULT_RANGE
    until_ns = site.now_ns()
    found = await site.store.service_map(until_ns - RANGES[span] * NS_PER_S, until_ns)
    context = {
        "drawing": lay_out(found),
        "nodes": sorted(found.nodes, key=lambda node: node.name),
        "edges": sorted(found.edges, key=lambda edge: (edge.source, edge.target)),
        "width": BOX_WIDTH,
        "height": BOX_HEIGHT,
        "range": span,
        "ranges": tuple(RANGES),
        "late": found.since_ns > until_ns - (RANGES[span] - 60) * NS_PER_S,
        "since_ns": found.since_ns,
    }
    return View("map", "Map", context)
