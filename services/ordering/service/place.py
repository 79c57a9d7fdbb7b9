"""Placing an order: hold first, then one transaction writes all there is to know.

A crash in between leaves only a lease in the catalog, which lapses; the same key again finds the same hold.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from tortoise.exceptions import IntegrityError

from services.defaults.errors import AppError, Conflict, Unavailable
from services.defaults.telemetry import annotate
from services.ordering.document import order_document
from services.ordering.domain import (
    NUMBER_BITS,
    Buyer,
    Hold,
    Order,
    Status,
    Wanted,
    fingerprint,
    holds_what_was_wanted,
    new_order,
    order_id,
    order_number,
    total_minor,
)
from services.ordering.service.counts import orders_placed, orders_refused
from services.ordering.service.deps import Deps, stage_event
from services.ordering.service.keyed import Answer, claim, released_on_failure
from services.ordering.store import keys, orders
from services.ordering.store.keys import Claim, Stored

OPERATION = "place"
NUMBER_TRIES = 5  # of 2^40 numbers, a second try is rare already

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """What a buyer wants of one concert."""

    concert_id: str
    wanted: tuple[Wanted, ...]

    @property
    def fingerprint(self) -> str:
        lines = [[want.tier_id, want.quantity] for want in self.wanted]
        return fingerprint({"concertId": self.concert_id, "lines": lines})


async def place_order(deps: Deps, buyer: Buyer, key: str, placement: Placement) -> Answer:
    """Holds the tickets and writes the pending order.

    Raises Conflict (code SOLD_OUT) and what else the catalog refuses with, Invalid where the key was used
    for something else, Conflict while the same request is in flight, Unavailable where a part is away.
    """
    wanted = Claim(buyer.id, OPERATION, key, placement.fingerprint)
    if earlier := await claim(deps, wanted):
        return earlier
    deps.reached("place.claimed")
    async with released_on_failure(deps, wanted):
        new_id = order_id(buyer.id, key)
        annotate(order_id=new_id, concert_id=placement.concert_id)
        hold = await _hold(deps, new_id, placement)
        deps.reached("place.held")
        answer = await _record(deps, buyer, wanted, new_id, hold)
    deps.reached("place.recorded")
    return answer


async def _hold(deps: Deps, new_id: UUID, placement: Placement) -> Hold:
    try:
        hold = await deps.catalog.hold(new_id, placement.concert_id, placement.wanted, deps.policy().hold_ttl_s)
    except AppError as refusal:
        if refusal.status < 500:
            orders_refused.add(1, {"reason": refusal.code})
        raise
    if not holds_what_was_wanted(hold, placement.wanted):
        raise Conflict("These tickets cannot be held together. Place a new order.")
    return hold


async def _record(deps: Deps, buyer: Buyer, wanted: Claim, new_id: UUID, hold: Hold) -> Answer:
    try:
        async with deps.db.transaction():
            order = await _insert(deps, buyer, new_id, hold)
            await stage_event(deps, order)
            document = order_document(order)
            await keys.complete_key(deps.db, buyer.id, OPERATION, wanted.key, Stored(201, document))
    except IntegrityError:
        return await _existing(deps, wanted, new_id)
    except Exception:
        await _give_back(deps, new_id)
        raise
    orders_placed.add(1)
    return Answer(document)


async def _insert(deps: Deps, buyer: Buyer, new_id: UUID, hold: Hold) -> Order:
    for _ in range(NUMBER_TRIES):
        number = order_number(deps.random_bits(NUMBER_BITS))
        times = await orders.insert_order(
            deps.db, new_id, buyer, hold, number=number, total_minor=total_minor(hold.lines)
        )
        if times:
            break
    else:
        raise Unavailable("No order number is free. Try again.", retry_after_s=1)
    created_at, expires_at = times
    return new_order(new_id, number, buyer, hold, now=created_at, expires=expires_at)


async def _existing(deps: Deps, wanted: Claim, new_id: UUID) -> Answer:
    """The order is there already: its key was forgotten after a day, or two requests outlived a lease."""
    order = await orders.select_order(deps.db, new_id)
    if order is None:
        raise Conflict("This order cannot be recorded. Place a new order.")
    if order.status is Status.CANCELLED:
        await orders.schedule_release(deps.db, new_id)  # what we have just held is for nobody
    # Not kept as the key's answer: a paid order's has codes, which it must not show once it is cancelled.
    await keys.release_key(deps.db, wanted)
    return Answer(order_document(order), replayed=True)


async def _give_back(deps: Deps, new_id: UUID) -> None:
    """Frees what was held for an order that could not be written. Best effort: the lease lapses anyway.

    A commit whose answer was lost may have been one all the same; then the tickets belong to the order.
    """
    try:
        if await orders.select_order(deps.db, new_id) is None:
            await deps.catalog.release(new_id)
    except AppError as error:
        logger.info("hold left to its lease", extra={"order_id": str(new_id), "code": error.code})
