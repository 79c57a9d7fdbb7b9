"""Order: its number typed, its story told across the services."""

from __future__ import annotations

from typing import Final

from quart import Response

from services.dashboard.pages.formatting import link, segment
from services.dashboard.pages.site import Query, Site, View, see_other
from services.dashboard.pages.titles import plain_title
from services.dashboard.pages.traces import lines
from services.dashboard.store.rows import Moment
from services.defaults.errors import NotFound

# Steps of steps: of interest where one looks for a fault, not to see how an order went.
_INNER: Final = ("Database:", "Cache:", "Ask ", "Make the page", "Shop:")


async def find(site: Site, query: Query) -> View | Response:
    """Where the search field leads."""
    number = query.get("number", "").strip()
    return see_other(f"/orders/{segment(number)}") if number else _unknown("")


async def one(site: Site, query: Query, number: str) -> View:
    """The order's timeline; `all` shows the inner steps too."""
    wanted = number.strip()
    try:
        story = await site.store.order_story(wanted)
    except NotFound:
        try:
            story = await site.store.order_story(wanted.upper())
        except NotFound:
            return _unknown(wanted)
    everything = bool(query.get("all"))
    told = [(moment, plain_title(moment.service, moment.title)) for moment in story.timeline]
    shown = [(moment, title) for moment, title in told if everything or _matters(moment, title)]
    context = {
        "story": story,
        "name": story.order_number or story.order_id,
        "traces": lines(story.traces),
        "moments": shown,
        "left_out": len(told) - len(shown),
        "everything": everything,
        "address": f"/orders/{segment(number)}",
        "logs": link("/logs", order=story.order_number or story.order_id),
    }
    return View("order", f"Order {context['name']}", context)


def _matters(moment: Moment, title: str) -> bool:
    """Whether a newcomer wants to see it: what a person or a service did, and everything that went wrong."""
    if moment.error or moment.kind == "log":
        return True
    return moment.kind == "span" and bool(title) and not title.startswith(_INNER)


def _unknown(number: str) -> View:
    return View("order_unknown", "Find an order", {"number": number}, 404 if number else 200)
