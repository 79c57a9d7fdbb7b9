"""Ending an order: the buyer's wish, or the end of its hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.contracts import CancelReason
from services.defaults.errors import AppError, NotFound
from services.defaults.telemetry import work_span
from services.ordering.document import order_document
from services.ordering.domain import OPEN_PAYMENTS, Order, PaymentState, Status, Step, check_cancellable
from services.ordering.service.counts import orders_cancelled
from services.ordering.service.deps import Deps, stage_event, tell_of
from services.ordering.service.finish import finish_order
from services.ordering.store import orders, payments
from services.ordering.store.orders import Locked


async def cancel_order(deps: Deps, user_id: str, order_id: UUID) -> dict[str, Any]:
    """Cancels the buyer's order, paid or not; one that is cancelled already stays as it is.

    Raises NotFound for a stranger's order, and Conflict while a payment of it has no outcome, or once the
    concert has begun.
    """
    async with deps.db.transaction():
        locked = await orders.lock_order(deps.db, order_id, user_id)
        if locked is None:
            raise NotFound("There is no such order.")
        tell_of(locked.order)
        ours = locked.order.status is not Status.CANCELLED
        if ours:
            await _end_by_buyer(deps, locked)
    if ours:
        orders_cancelled.add(1, {"reason": str(CancelReason.BUYER)})
    deps.reached("cancel.recorded")
    await finish_order(deps, order_id)
    order = await orders.select_order(deps.db, order_id)
    return order_document(order or locked.order)


class BrokenOrder(Exception):
    """The order `order_id` cannot be read or ended: its row or our code is wrong, and no second try mends that."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"order {order_id} cannot be ended")
        self.order_id = order_id


async def expire_order(deps: Deps, skip: Sequence[UUID] = ()) -> bool:
    """Ends one pending order whose hold is over, and that is not in `skip`; False where none is left.

    Its tickets are sellable already, as their lease has lapsed; freeing them only tidies up. Raises BrokenOrder.
    """
    async with deps.db.transaction():
        order_id = await orders.lock_expired(deps.db, deps.policy().expiry_grace_s, skip)
        if order_id is None:
            return False
        try:
            ended = await _expire(deps, order_id)
        except AppError:
            raise
        except Exception as error:
            raise BrokenOrder(order_id) from error
    if ended:
        orders_cancelled.add(1, {"reason": str(CancelReason.EXPIRED)})
    return True


async def _expire(deps: Deps, order_id: UUID) -> bool:
    """False where a payment has begun since the order was searched for: the next search will not find it."""
    locked = await orders.read_locked(deps.db, order_id)
    latest = await payments.select_latest(deps.db, order_id)
    if latest and latest.state in OPEN_PAYMENTS:
        return False
    with work_span("expire order"):
        await _end(deps, locked, CancelReason.EXPIRED, refunded=False, lease_s=0)
    return True


async def _end_by_buyer(deps: Deps, locked: Locked) -> None:
    latest = await payments.select_latest(deps.db, locked.order.id)
    check_cancellable(locked.order, latest, locked.now)
    paid = latest if latest and latest.state is PaymentState.SUCCEEDED else None
    order = await _end(deps, locked, CancelReason.BUYER, refunded=paid is not None, lease_s=deps.policy().work_lease_s)
    if paid:
        await payments.update_state(deps.db, paid, PaymentState.REFUND_DUE, lease_s=deps.policy().work_lease_s)
        await orders.insert_step(deps.db, order, Step.REFUND_DUE)


async def _end(deps: Deps, locked: Locked, reason: CancelReason, *, refunded: bool, lease_s: float) -> Order:
    order = locked.order.cancelled(reason, locked.now)
    await orders.update_cancelled(deps.db, order, lease_s)
    await orders.insert_step(deps.db, order, Step.CANCELLED, order.cancelled_at)
    await stage_event(deps, order, refunded=refunded)
    return order
