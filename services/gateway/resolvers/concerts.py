"""Browsing: public, unless the shop is closed to strangers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.defaults.errors import Invalid
from services.gateway.clients import ConcertSearch, Node
from services.gateway.context import RequestContext
from services.gateway.guard import DEFAULT_FIRST, MAX_FIRST
from services.gateway.schema import Arguments, resolver


@resolver("Query.concerts")
async def concerts(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    context.require_browsing()
    return await context.clients.catalog.list_concerts(to_search(arguments))


@resolver("Query.concert")
async def concert(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node | None:
    context.require_browsing()
    concert_id, slug = arguments.get("id") or "", arguments.get("slug") or ""
    if bool(concert_id) == bool(slug):
        raise Invalid("Give either the concert's `id` or its `slug`.")
    return await context.clients.catalog.get_concert(concert_id=concert_id, slug=slug)


@resolver("Query.concertFacets")
async def concert_facets(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    context.require_browsing()
    return await context.facets.load()


@resolver("Concert.saleState", waits=False)
async def concert_sale_state(parent: Node, arguments: Arguments, context: RequestContext, info: Any) -> str:
    return sale_state(parent, context.now())


def sale_state(concert: Node, now: datetime) -> str:
    """A value of `SaleState`."""
    if concert["startsAt"] <= now:
        return "ENDED"
    if concert["onSaleAt"] > now:
        return "NOT_YET"
    return "ON_SALE" if concert["available"] > 0 else "SOLD_OUT"


def to_search(arguments: Arguments) -> ConcertSearch:
    """The arguments of `Query.concerts`; those left out or null do not narrow. Raises `Invalid`."""
    wanted = arguments.get("filter") or {}
    from_date, to_date = wanted.get("from"), wanted.get("to")
    if from_date and to_date and to_date < from_date:
        raise Invalid("The last day is before the first.", fields={"to": "Must not be before the first day."})
    return ConcertSearch(
        text=wanted.get("text") or "",
        city=wanted.get("city") or "",
        genre=wanted.get("genre") or "",
        from_date=from_date,
        to_date=to_date,
        available_only=bool(wanted.get("availableOnly")),
        sort=arguments.get("sort") or "DATE",
        first=page_size(arguments),
        after=arguments.get("after") or "",
    )


def page_size(arguments: Arguments) -> int:
    """How many nodes a connection is asked for. Raises `Invalid` outside 1 to 100."""
    first: int | None = arguments.get("first")
    if first is None:
        return DEFAULT_FIRST
    if not 1 <= first <= MAX_FIRST:
        sentence = f"`first` must be from 1 to {MAX_FIRST}."
        raise Invalid(sentence, fields={"first": sentence})
    return first
