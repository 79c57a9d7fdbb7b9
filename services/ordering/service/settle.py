"""From what the provider says about a charge to the order's end.

The buyer's request and the recovery loop both come here, possibly at the same time: each step re-reads the
order under its row's lock, and acts only on an attempt that has no outcome yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.contracts import CancelReason
from services.defaults.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from services.ordering.document import order_document
from services.ordering.domain import (
    OPEN_PAYMENTS,
    Buyer,
    Charge,
    ChargeAnswer,
    Order,
    Payment,
    PaymentState,
    Status,
    Step,
    Ticket,
    Verdict,
    Wanted,
    judge_charge,
)
from services.ordering.service.counts import count_confirmed, orders_cancelled, payment_outcomes
from services.ordering.service.deps import Deps, stage_event, tell_of
from services.ordering.service.finish import finish_order
from services.ordering.service.keyed import stored_error
from services.ordering.store import keys, orders, payments
from services.ordering.store.keys import Stored
from services.ordering.store.orders import Locked

OPERATION = "pay"
_GONE = (Conflict, NotFound, Invalid)  # the catalog has decided; anything else may change with time


async def settle(deps: Deps, payment: Payment, charge: ChargeAnswer) -> dict[str, Any]:
    """Acts on the charge; the confirmed order's document.

    Raises Conflict (PAYMENT_DECLINED, or SOLD_OUT with the money going back), and Unavailable while there
    is no outcome.
    """
    match judge_charge(charge.status):
        case Verdict.CONFIRM:
            return await _secure(deps, payment)
        case Verdict.DECLINE:
            raise await _decline(deps, payment, charge)
        case Verdict.WAIT:
            raise await _wait(deps, payment)


async def _secure(deps: Deps, payment: Payment) -> dict[str, Any]:
    """The money is there: make the tickets the buyer's, or give it back."""
    try:
        tickets = await _sell(deps, payment)
    except _GONE:
        raise await _lose(deps, payment) from None
    deps.reached("pay.sold")
    document = await _confirm(deps, payment, tickets)
    deps.reached("pay.confirmed")
    return document


async def _sell(deps: Deps, payment: Payment) -> Sequence[Ticket]:
    """Confirms the hold; one that has lapsed is tried again, as the tickets may still be there."""
    try:
        return await deps.catalog.confirm(payment.order_id)
    except _GONE:
        order = await _still_open(deps, payment)
    wanted = [Wanted(line.tier_id, line.quantity) for line in order.lines]
    await deps.catalog.hold(order.id, order.concert.id, wanted, deps.policy().hold_ttl_s)
    deps.reached("pay.held_again")
    return await deps.catalog.confirm(order.id)


async def _still_open(deps: Deps, payment: Payment) -> Order:
    """The order, if nobody else has settled this attempt: else tickets would be held for a closed order."""
    mine = await payments.extend_lease(deps.db, payment.id, deps.policy().work_lease_s)
    order = await orders.select_order(deps.db, payment.order_id)
    if not mine or order is None or order.status is not Status.PENDING:
        raise _unclear()
    return order


async def _confirm(deps: Deps, payment: Payment, tickets: Sequence[Ticket]) -> dict[str, Any]:
    ours = False
    async with deps.db.transaction():
        locked, current = await _lock(deps, payment)
        order = locked.order
        if current.state in OPEN_PAYMENTS:
            order, ours = await _record_confirmed(deps, locked, current, tickets), True
        elif order.status is Status.CANCELLED:
            # Somebody else has ended the order while we sold its tickets, and it must not keep them.
            await orders.schedule_release(deps.db, order.id)
    if ours:
        count_confirmed(order)
    if order.status is not Status.CONFIRMED:
        raise _unclear()
    return order_document(order)


async def _record_confirmed(deps: Deps, locked: Locked, payment: Payment, tickets: Sequence[Ticket]) -> Order:
    confirmed = locked.order.confirmed(tickets, locked.now)
    await orders.update_confirmed(deps.db, confirmed)
    await payments.update_state(deps.db, payment, PaymentState.SUCCEEDED)
    await orders.insert_step(deps.db, confirmed, Step.CONFIRMED, confirmed.confirmed_at)
    await stage_event(deps, confirmed)
    stored = await orders.select_order(deps.db, confirmed.id) or confirmed  # with its timeline as it is now
    await _answer(deps, payment, confirmed.buyer, Stored(200, order_document(stored)))
    return stored


async def _lose(deps: Deps, payment: Payment) -> AppError:
    """The tickets are gone: the order ends and the money goes back."""
    gone = Conflict(
        "The time was over and the tickets went to somebody else. Your money is on its way back.",
        code="SOLD_OUT",
    )
    async with deps.db.transaction():
        locked, current = await _lock(deps, payment)
        if current.state not in OPEN_PAYMENTS:
            return _unclear()
        cancelled = locked.order.cancelled(CancelReason.SOLD_OUT, locked.now)
        await orders.update_cancelled(deps.db, cancelled, deps.policy().work_lease_s)
        await payments.update_state(deps.db, current, PaymentState.REFUND_DUE, lease_s=deps.policy().work_lease_s)
        await orders.insert_step(deps.db, cancelled, Step.CANCELLED, cancelled.cancelled_at)
        await orders.insert_step(deps.db, cancelled, Step.REFUND_DUE)
        await stage_event(deps, cancelled, refunded=True)
        await _answer(deps, payment, locked.order.buyer, stored_error(gone))
    orders_cancelled.add(1, {"reason": str(CancelReason.SOLD_OUT)})
    deps.reached("pay.lost")
    await finish_order(deps, payment.order_id)
    return gone


async def _decline(deps: Deps, payment: Payment, charge: ChargeAnswer) -> AppError:
    """No money was taken: the order stays pending until its hold ends."""
    error = declined(charge)
    state, step = PaymentState.VOID, Step.PAYMENT_VOID
    if charge.status is Charge.DECLINED:
        state, step = PaymentState.DECLINED, Step.PAYMENT_DECLINED
    async with deps.db.transaction():
        locked, current = await _lock(deps, payment)
        if current.state not in OPEN_PAYMENTS:
            return error if current.state is state else _unclear()
        await payments.update_state(deps.db, current, state, decline_code=charge.decline_code)
        await orders.insert_step(deps.db, locked.order, step)
        await _answer(deps, payment, locked.order.buyer, stored_error(error))
    payment_outcomes.add(1, {"outcome": str(state)})
    return error


async def _wait(deps: Deps, payment: Payment) -> AppError:
    """Nothing is known yet: recovery asks again soon."""
    async with deps.db.transaction():
        locked, current = await _lock(deps, payment)
        if current.state in OPEN_PAYMENTS:
            await payments.update_state(deps.db, current, PaymentState.UNCLEAR, lease_s=deps.policy().recheck_s)
        first = current.state is PaymentState.STARTED
        if first:
            await orders.insert_step(deps.db, locked.order, Step.PAYMENT_UNCLEAR)
    if first:
        payment_outcomes.add(1, {"outcome": "unclear"})
    return _unclear()


def declined(charge: ChargeAnswer) -> Conflict:
    """The refusal as a person can use it."""
    if charge.decline_code == "insufficient_funds":
        sentence = "There is not enough money on this card. Use another one; the tickets are still held."
    elif charge.status is Charge.DECLINED:
        sentence = "The card was declined. Use another one; the tickets are still held."
    else:
        sentence = "The payment did not go through and no money was taken. Please try again."
    return Conflict(sentence, code="PAYMENT_DECLINED", status=402)


def _unclear() -> Unavailable:
    return Unavailable(
        "The payment provider has not answered yet. We are checking, and you are not charged twice.",
        retry_after_s=2,
    )


async def _lock(deps: Deps, payment: Payment) -> tuple[Locked, Payment]:
    """Order, then payment: always in this sequence, so that no two transactions wait for each other."""
    locked = await orders.lock_order(deps.db, payment.order_id)
    if locked is None:
        raise NotFound("There is no such order.")
    tell_of(locked.order)
    return locked, await payments.lock_payment(deps.db, payment.id)


async def _answer(deps: Deps, payment: Payment, buyer: Buyer, answer: Stored) -> None:
    await keys.complete_key(deps.db, buyer.id, OPERATION, payment.key, answer)
