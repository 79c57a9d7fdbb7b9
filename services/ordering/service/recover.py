"""Finishing what a crash or an outage left half done, from what the database says.

Each piece of work is claimed with a lease, so any number of instances may do this at once.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

from services.defaults.errors import AppError
from services.defaults.telemetry import annotate, work_span
from services.ordering.domain import OPEN_PAYMENTS, Charge, Payment, PaymentState
from services.ordering.service.cancel import BrokenOrder, expire_order
from services.ordering.service.deps import Deps
from services.ordering.service.finish import free_tickets, pay_back
from services.ordering.service.settle import settle
from services.ordering.store import keys, orders, outbox, payments

logger = logging.getLogger(__name__)

BATCH: Final = 20
KEY_AGE_S: Final = 24 * 3600.0
PUBLISHED_AGE_S: Final = 7 * 24 * 3600.0
PRUNE_BATCH: Final = 1000


async def recover_payments(deps: Deps) -> int:
    """Looks after attempts without an outcome, and refunds that are due; how many there were."""
    unfinished = await payments.claim_unfinished(deps.db, BATCH, deps.policy().work_lease_s)
    for payment, claim in unfinished:
        await _recover_payment(deps, payment, claim)
    return len(unfinished)


async def expire_orders(deps: Deps) -> int:
    """Ends orders whose hold is over; how many. One that cannot be ended keeps no other from it."""
    broken: list[UUID] = []
    ended = 0
    while ended < BATCH:
        try:
            if not await expire_order(deps, broken):
                break
            ended += 1
        except BrokenOrder as failure:
            logger.exception("order not expired", extra={"order_id": str(failure.order_id)})
            broken.append(failure.order_id)
    return ended


async def release_tickets(deps: Deps) -> int:
    """Frees the tickets of orders that have ended; how many there were."""
    releases = await orders.claim_releases(deps.db, BATCH, deps.policy().work_lease_s)
    for order_id, claim in releases:
        await _release(deps, order_id, claim)
    return len(releases)


async def prune(deps: Deps) -> int:
    """Forgets keys after a day, and events a week after their publication; how many rows."""
    gone = await keys.delete_old_keys(deps.db, KEY_AGE_S)
    gone += await payments.delete_old_webhooks(deps.db, PUBLISHED_AGE_S)
    return gone + await outbox.delete_published(deps.db, PUBLISHED_AGE_S, PRUNE_BATCH)


async def _recover_payment(deps: Deps, payment: Payment, claim: datetime) -> None:
    try:
        with work_span("recover payment"):
            annotate(order_id=payment.order_id)
            await _look_after(deps, payment)
    except AppError as error:
        logger.info("payment looked after", extra={"payment_id": str(payment.id), "code": error.code})
        if payment.state in OPEN_PAYMENTS:  # a buyer waits: what could not be found out now is asked again soon
            await payments.shorten_claim(deps.db, payment.id, claim, deps.policy().recheck_s)
    except Exception:  # one that cannot be settled must not keep the others from it
        logger.exception("payment not recovered", extra={"payment_id": str(payment.id)})


async def _look_after(deps: Deps, payment: Payment) -> None:
    if payment.state is PaymentState.REFUND_DUE:
        await pay_back(deps, payment)
    else:
        await _finish_attempt(deps, payment)


async def _finish_attempt(deps: Deps, payment: Payment) -> None:
    answer = await deps.provider.look_up(payment.id)
    if answer.status is Charge.UNKNOWN:
        # The request was lost, or is still on its way. Its card is not kept, so it cannot be sent again:
        # see to it that it never charges, should it arrive. The buyer may have sent it anew since we asked:
        # then it has charged, and that is the answer.
        answer = await deps.provider.call_off(payment.id)
    await settle(deps, payment, answer)


async def _release(deps: Deps, order_id: UUID, claim: datetime) -> None:
    try:
        with work_span("release tickets"):
            annotate(order_id=order_id)
            await free_tickets(deps, order_id, claim)
    except AppError as error:
        logger.warning("release tried again later", extra={"order_id": str(order_id), "code": error.code})
    except Exception:  # one that cannot be released must not keep the others from it
        logger.exception("tickets not released", extra={"order_id": str(order_id)})
