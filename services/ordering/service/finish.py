"""What is owed after an order has ended: its tickets freed, its money back.

The debt stands in the database before anything here is tried, so that recovery can go on where we stop.
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from services.defaults.errors import AppError, NotFound
from services.ordering.domain import Charge, Payment, PaymentState, Step
from services.ordering.service.counts import payment_outcomes
from services.ordering.service.deps import Deps
from services.ordering.store import orders, payments

logger = logging.getLogger(__name__)

PAID_BACK = frozenset({Charge.REFUNDED, Charge.VOIDED})


async def finish_order(deps: Deps, order_id: UUID) -> None:
    """Tries at once what an ended order still owes; what fails is left to recovery."""
    try:
        claim = await orders.select_release(deps.db, order_id)
        if claim:
            await free_tickets(deps, order_id, claim)
        latest = await payments.select_latest(deps.db, order_id)
        if latest and latest.state is PaymentState.REFUND_DUE:
            await pay_back(deps, latest)
    except AppError as error:
        logger.warning("left to recovery", extra={"order_id": str(order_id), "code": error.code})


async def free_tickets(deps: Deps, order_id: UUID, claim: datetime) -> None:
    """Frees the tickets in the catalog. Raises what the catalog raises."""
    await deps.catalog.release(order_id)
    deps.reached("finish.released")
    async with deps.db.transaction():
        locked = await orders.lock_order(deps.db, order_id)
        if locked and await orders.finish_release(deps.db, order_id, claim):
            await orders.insert_step(deps.db, locked.order, Step.RELEASED)


async def pay_back(deps: Deps, payment: Payment) -> None:
    """Refunds a charge. Raises Unavailable where the provider is away or has not done it yet."""
    answer = await deps.provider.refund(payment.id)
    if answer.status not in PAID_BACK:
        logger.warning("refund not done yet", extra={"payment_id": str(payment.id)})
        return
    deps.reached("finish.refunded")
    async with deps.db.transaction():
        locked = await orders.lock_order(deps.db, payment.order_id)
        if locked is None:
            raise NotFound("There is no such order.")
        done = await payments.update_state(deps.db, payment, PaymentState.REFUNDED)
        if done:
            await orders.insert_step(deps.db, locked.order, Step.REFUNDED)
    if done:
        payment_outcomes.add(1, {"outcome": "refunded"})
