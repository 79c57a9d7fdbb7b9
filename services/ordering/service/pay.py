"""Paying an order: record the attempt, charge, and let `settle` do the rest.

The attempt's id derives from order and key, and the provider charges an id once; one order has at most one
live attempt, by a constraint. So neither a retry nor a second window can pay twice.
"""

from __future__ import annotations

import logging
from uuid import UUID

from tortoise.exceptions import IntegrityError

from services.defaults.errors import Conflict, NotFound, Unavailable
from services.defaults.telemetry import annotate
from services.ordering.cards import Card
from services.ordering.document import order_document
from services.ordering.domain import (
    RESUMABLE_PAYMENTS,
    Buyer,
    Charge,
    ChargeAnswer,
    Order,
    Payment,
    Step,
    check_payable,
    fingerprint,
    payment_id,
)
from services.ordering.service.deps import Deps, tell_of
from services.ordering.service.keyed import Answer, claim, released_on_failure
from services.ordering.service.settle import OPERATION, settle
from services.ordering.store import orders, payments
from services.ordering.store.keys import Claim

logger = logging.getLogger(__name__)


async def pay_order(deps: Deps, buyer: Buyer, order_id: UUID, key: str, card: Card) -> Answer:
    """Charges the card and confirms the order.

    Raises NotFound for a stranger's order; Conflict with code PAYMENT_DECLINED (402), with SOLD_OUT where
    the tickets went and the money goes back, or where the order cannot be paid; Unavailable while the
    outcome is not known: the same key may ask again, and recovery finds out in any case.
    """
    if await orders.select_order(deps.db, order_id, buyer.id) is None:
        raise NotFound("There is no such order.")
    # Card data may not be kept, hashed or not: a hash of 16 digits is soon undone.
    request = fingerprint({"orderId": str(order_id), "last4": card.last4, "brand": card.brand})
    wanted = Claim(buyer.id, OPERATION, key, request)
    if await claim(deps, wanted):
        # The order as it is now: one that was cancelled since must not show the codes of the answer of then.
        return Answer(order_document(await _read(deps, order_id)), replayed=True)
    async with released_on_failure(deps, wanted):
        order, payment = await _begin(deps, buyer, order_id, key, card)
        deps.reached("pay.started")
        charge = await _charge(deps, order, payment, card)
        deps.reached("pay.charged")
        return Answer(await settle(deps, payment, charge))


async def _read(deps: Deps, order_id: UUID) -> Order:
    order = await orders.select_order(deps.db, order_id)
    if order is None:
        raise NotFound("There is no such order.")
    return order


async def _begin(deps: Deps, buyer: Buyer, order_id: UUID, key: str, card: Card) -> tuple[Order, Payment]:
    """The attempt of this key: a new one, or the one that an earlier request has left open."""
    attempt = payment_id(order_id, key)
    try:
        async with deps.db.transaction():
            locked = await orders.lock_order(deps.db, order_id, buyer.id)
            if locked is None:
                raise NotFound("There is no such order.")
            tell_of(locked.order)
            latest = await payments.select_latest(deps.db, order_id)
            check_payable(locked.order, latest, attempt, locked.now)
            if latest and latest.id == attempt and latest.state in RESUMABLE_PAYMENTS:
                await payments.extend_lease(deps.db, attempt, deps.policy().work_lease_s)
                return locked.order, latest
            payment = await payments.insert_payment(
                deps.db, attempt, locked.order, card, key=key, lease_s=deps.policy().work_lease_s
            )
            await orders.insert_step(deps.db, locked.order, Step.PAYMENT_STARTED)
            return locked.order, payment
    except IntegrityError as error:
        raise Conflict("This payment has been made before. Start a new one.") from error


async def _charge(deps: Deps, order: Order, payment: Payment, card: Card) -> ChargeAnswer:
    try:
        annotate(payment_id=payment.id)
        return await deps.provider.charge(payment, card, order.number)
    except Unavailable:
        logger.warning("charge without an answer", extra={"payment_id": str(payment.id)})
        return ChargeAnswer(Charge.PENDING)
