"""The use cases as tests go through them, and what can be seen afterwards."""

from __future__ import annotations

import itertools
from uuid import UUID

from services.contracts import OrderEvent, decode
from services.ordering.domain import Order, PaymentState, Wanted
from services.ordering.recovery import Recovery
from services.ordering.service.deps import Deps
from services.ordering.service.keyed import Answer
from services.ordering.service.pay import pay_order
from services.ordering.service.place import Placement, place_order
from services.ordering.store import orders, payments
from tests.ordering.support import (
    BUYER,
    CONCERT_ID,
    GOOD,
    SEATED,
    STANDING,
    card,
)

TWO = Placement(CONCERT_ID, (Wanted(SEATED, 1), Wanted(STANDING, 1)))
TOTAL = 7_500 + 4_250
_keys = itertools.count()


async def place(deps: Deps, key: str = "", placement: Placement = TWO) -> Answer:
    return await place_order(deps, BUYER, key or f"key-{next(_keys)}", placement)


async def placed(deps: Deps) -> UUID:
    return UUID((await place(deps)).document["id"])


async def pay(deps: Deps, order_id: UUID, key: str = "", number: str = GOOD) -> Answer:
    return await pay_order(deps, BUYER, order_id, key or f"pay-{order_id}", card(number))


async def load(deps: Deps, order_id: UUID) -> Order:
    order = await orders.select_order(deps.db, order_id)
    assert order is not None
    return order


async def state(deps: Deps, order_id: UUID) -> PaymentState:
    latest = await payments.select_latest(deps.db, order_id)
    assert latest is not None
    return latest.state


async def events(deps: Deps) -> list[OrderEvent]:
    rows = await deps.db.fetch("SELECT payload FROM outbox ORDER BY id")
    return [decode(row["payload"]).data for row in rows]


async def recover_once(deps: Deps) -> int:
    return await Recovery(deps, interval_s=lambda: 0).recover_once()


async def recover(deps: Deps) -> None:
    """As the loop would, until nothing is left to do; a payment that stays unclear would go on for ever."""
    for _ in range(5):
        await recover_once(deps)


async def end_hold(deps: Deps, order_id: UUID) -> None:
    await deps.db.execute("UPDATE orders SET expires_at = now() - interval '1 second' WHERE id = $1", order_id)
