"""The map: who calls whom, how often, how well, how fast."""

from __future__ import annotations

from services.dashboard.pages.charts import RANGES, chosen_range
from services.dashboard.pages.formatting import NS_PER_S
from services.dashboard.pages.map_layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from services.dashboard.pages.site import Query, Site, View


async def page(site: Site, query: Query) -> View:
    span = chosen_range(query.get("range", ""))
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
