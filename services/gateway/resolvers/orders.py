"""A person's orders. A stranger's order is none: null to read, NOT_FOUND to change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tartiflette.language.ast import FieldNode

from services.defaults.errors import Unavailable
from services.defaults.http import run_to_completion
from services.gateway.clients import Node
from services.gateway.context import RequestContext
from services.gateway.limits import Act
from services.gateway.resolvers.concerts import page_size
from services.gateway.schema import Arguments, resolver


@resolver("Query.order")
async def order(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node | None:
    return await context.clients.ordering.get_order(context.access_token, arguments["id"])


@resolver("Query.myOrders")
async def my_orders(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    return await context.clients.ordering.list_orders(
        context.access_token, first=page_size(arguments), after=arguments.get("after") or ""
    )


@resolver("OrderConnection.nodes", waits=False, list_concurrently=True)
async def order_nodes(parent: Node, arguments: Arguments, context: RequestContext, info: Any) -> Any:
    """Side by side, so that the concerts of all orders are asked for together."""
    return parent["nodes"]


@resolver("Mutation.placeOrder")
async def place_order(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    await _spend_write(context)
    wanted = arguments["input"]
    placed = await run_to_completion(
        context.clients.ordering.place_order(
            context.access_token,
            concert_id=wanted["concertId"],
            lines=wanted["lines"],
            idempotency_key=wanted["idempotencyKey"],
        )
    )
    return {**placed, "concertIsCurrent": True}  # the catalog has told it a moment ago, with the hold


@resolver("Mutation.payOrder")
async def pay_order(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    await _spend_write(context)
    wanted = arguments["input"]
    return await run_to_completion(
        context.clients.ordering.pay_order(
            context.access_token, wanted["orderId"], card=wanted["card"], idempotency_key=wanted["idempotencyKey"]
        )
    )


@resolver("Mutation.cancelOrder")
async def cancel_order(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    await _spend_write(context)
    return await run_to_completion(context.clients.ordering.cancel_order(context.access_token, arguments["id"]))


@resolver("Order.concert")
async def order_concert(parent: Node, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    kept: Node = parent["concert"]
    if "concertIsCurrent" in parent and all(
        _covers(kept, field.selection_set.selections) for field in info.field_nodes
    ):
        return kept
    try:
        current = await context.concerts.load(parent["concertId"])
    except Unavailable:
        current = None
    return current or _kept(kept)


def _covers(known: Node, selections: Iterable[Any]) -> bool:
    """Whether all that is selected are plain fields that `known` has; a fragment may ask for anything."""
    return all(
        isinstance(selected, FieldNode)
        and selected.name.value in known
        and (selected.selection_set is None or _covers(known[selected.name.value], selected.selection_set.selections))
        for selected in selections
    )


def _kept(concert: Node) -> Node:
    return Kept({**concert, "venue": Kept(concert["venue"])})


class Kept(dict[str, Any]):
    """What an order kept of its concert, for when the catalog is away or has forgotten it.

    It has less than the whole; for the rest the answer is that it cannot be had now.
    """

    def __missing__(self, field: str) -> Any:
        raise Unavailable("The concert's details cannot be shown right now.")


async def _spend_write(context: RequestContext) -> None:
    if context.principal:
        await context.limiter.spend(Act.ORDER_PERSON, context.principal.subject)
