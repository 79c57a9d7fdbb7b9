"""Orders that end: by their buyer, or with their hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.contracts import CancelReason, OrderCancelled
from services.defaults.database import Database
from services.defaults.errors import Conflict, Unavailable
from services.ordering.domain import PaymentState, Status
from services.ordering.service.cancel import cancel_order, expire_order
from services.ordering.service.deps import Deps
from services.ordering.store import orders
from tests.ordering.flows import (
    TOTAL,
    end_hold,
    events,
    load,
    pay,
    placed,
    recover,
    state,
)
from tests.ordering.support import (
    BUYER,
    LATE,
    SEATED,
    STANDING,
    FakeCatalog,
    FakeProvider,
)


async def test_a_pending_order_is_cancelled_without_money(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)
    document = await cancel_order(deps, BUYER.id, order_id)
    assert (document["status"], document["cancelReason"]) == ("CANCELLED", "BUYER")
    assert catalog.stock == {SEATED: 10, STANDING: 10}
    assert provider.charges == {}
    assert await cancel_order(deps, BUYER.id, order_id) == document
    cancelled = (await events(deps))[-1]
    assert isinstance(cancelled, OrderCancelled)
    assert not cancelled.refunded


async def test_a_paid_order_is_refunded_and_its_tickets_are_free(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id)
    document = await cancel_order(deps, BUYER.id, order_id)
    assert [ticket["code"] for ticket in document["tickets"]] == [None, None]
    assert provider.taken_minor == 0
    assert catalog.sold == {}
    assert await state(deps, order_id) is PaymentState.REFUNDED
    cancelled = (await events(deps))[-1]
    assert isinstance(cancelled, OrderCancelled)
    assert cancelled.refunded


async def test_what_a_cancellation_owes_is_paid_later(deps: Deps, catalog: FakeCatalog, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id)
    catalog.fail("release")
    provider.away = True
    assert (await cancel_order(deps, BUYER.id, order_id))["status"] == "CANCELLED"
    await recover(deps)
    assert await state(deps, order_id) is PaymentState.REFUND_DUE
    provider.away = False
    await recover(deps)
    assert await state(deps, order_id) is PaymentState.REFUNDED
    assert catalog.stock == {SEATED: 10, STANDING: 10}
    assert provider.taken_minor == 0


async def test_after_the_concert_began_nothing_is_returned(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    catalog.concert = replace(catalog.concert, starts_at=datetime(2020, 1, 1, tzinfo=UTC))
    order_id = await placed(deps)
    await pay(deps, order_id)
    with pytest.raises(Conflict):
        await cancel_order(deps, BUYER.id, order_id)
    assert provider.taken_minor == TOTAL


async def test_an_order_ends_with_its_hold(deps: Deps, catalog: FakeCatalog) -> None:
    over, running = await placed(deps), await placed(deps)
    await end_hold(deps, over)
    await recover(deps)
    order = await load(deps, over)
    assert (order.status, order.cancel_reason) == (Status.CANCELLED, CancelReason.EXPIRED)
    assert (await load(deps, running)).status is Status.PENDING
    assert catalog.stock == {SEATED: 9, STANDING: 9}


async def test_an_order_whose_payment_has_just_begun_does_not_end(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = await placed(deps)
    with pytest.raises(Unavailable):
        await pay(deps, order_id, number=LATE)

    async def found_before_that(db: Database, *_: object) -> UUID:
        await orders.lock_order(db, order_id)
        return order_id

    monkeypatch.setattr(orders, "lock_expired", found_before_that)
    assert await expire_order(deps)
    assert (await load(deps, order_id)).status is Status.PENDING


async def test_paying_and_cancelling_at_once_ends_one_way(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    for _ in range(10):
        order_id = await placed(deps)
        await asyncio.gather(pay(deps, order_id), cancel_order(deps, BUYER.id, order_id), return_exceptions=True)
        await recover(deps)
        confirmed = (await load(deps, order_id)).status is Status.CONFIRMED
        assert provider.taken_minor == (TOTAL if confirmed else 0)
        assert (order_id in catalog.sold) is confirmed
        if confirmed:
            await cancel_order(deps, BUYER.id, order_id)
