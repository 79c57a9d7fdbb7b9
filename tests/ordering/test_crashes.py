"""A crash behind each named step: what is left is finished, once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from services.defaults.errors import AppError, NotFound, Unavailable
from services.ordering.domain import PaymentState, Status
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from tests.ordering.flows import (
    TOTAL,
    events,
    load,
    pay,
    place,
    placed,
    recover,
    recover_once,
    state,
)
from tests.ordering.support import (
    BUYER,
    GOOD,
    POOR,
    SEATED,
    STANDING,
    Crash,
    CrashAt,
    FakeCatalog,
    FakeProvider,
)

PLACE_STEPS = ("place.claimed", "place.held", "place.recorded")
PAY_STEPS = ("pay.started", "pay.charged", "pay.sold", "pay.confirmed")
LOSE_STEPS = ("pay.lost", "finish.released", "finish.refunded")
CANCEL_STEPS = ("cancel.recorded", "finish.released", "finish.refunded")


@pytest.mark.parametrize("step", PLACE_STEPS)
async def test_after_a_crash_the_same_key_gives_one_order(
    deps: Deps, catalog: FakeCatalog, crash_at: CrashAt, step: str
) -> None:
    crash_at.step = step
    with pytest.raises(Crash):
        await place(deps, f"crash-{step}")
    answer = await place(deps, f"crash-{step}")
    assert answer.replayed is (step == "place.recorded")
    assert len(await deps.db.fetch("SELECT 1 FROM orders")) == 1
    assert len(await events(deps)) == 1
    assert catalog.stock == {SEATED: 9, STANDING: 9}


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize("step", PAY_STEPS)
async def test_after_a_crash_a_payment_has_one_outcome(
    deps: Deps, provider: FakeProvider, crash_at: CrashAt, step: str, retried: bool
) -> None:
    order_id = await placed(deps)
    crash_at.step = step
    with pytest.raises(Crash):
        await pay(deps, order_id)
    if retried:
        assert (await pay(deps, order_id)).document["status"] == "CONFIRMED"
    await recover(deps)
    order = await load(deps, order_id)
    never_sent = step == "pay.started" and not retried
    assert order.status is (Status.PENDING if never_sent else Status.CONFIRMED)
    assert provider.taken_minor == (0 if never_sent else TOTAL)
    assert len(await events(deps)) == (1 if never_sent else 2)


async def test_after_a_crash_tickets_held_again_are_bought(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider, crash_at: CrashAt
) -> None:
    order_id = await placed(deps)
    provider.on_charge = lambda: catalog.lose(order_id)
    crash_at.step = "pay.held_again"
    with pytest.raises(Crash):
        await pay(deps, order_id)
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert provider.taken_minor == TOTAL


@pytest.mark.parametrize("step", LOSE_STEPS)
async def test_after_a_crash_lost_tickets_are_refunded(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider, crash_at: CrashAt, step: str
) -> None:
    order_id = await placed(deps)

    def snatch() -> None:
        catalog.lose(order_id)
        catalog.stock[SEATED] = 0

    provider.on_charge = snatch
    crash_at.step = step
    with pytest.raises(Crash):
        await pay(deps, order_id)
    await recover(deps)
    assert await state(deps, order_id) is PaymentState.REFUNDED
    assert provider.taken_minor == 0
    assert len(await events(deps)) == 2


@pytest.mark.parametrize("step", CANCEL_STEPS)
async def test_after_a_crash_a_cancellation_is_finished(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider, crash_at: CrashAt, step: str
) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id)
    crash_at.step = step
    with pytest.raises(Crash):
        await cancel_order(deps, BUYER.id, order_id)
    await recover(deps)
    assert await state(deps, order_id) is PaymentState.REFUNDED
    assert (provider.taken_minor, catalog.sold) == (0, {})
    assert len(await events(deps)) == 3


async def test_several_recoveries_do_each_thing_once(deps: Deps, provider: FakeProvider) -> None:
    ids = [await placed(deps) for _ in range(4)]
    provider.lost = len(ids)
    for order_id in ids:
        with pytest.raises(Unavailable):
            await pay(deps, order_id)
    await asyncio.gather(*(recover_once(deps) for _ in range(4)))
    await recover(deps)
    assert [(await load(deps, order_id)).status for order_id in ids] == [Status.CONFIRMED] * len(ids)
    assert provider.taken_minor == TOTAL * len(ids)
    assert len(await events(deps)) == 2 * len(ids)


async def test_an_unknown_order_can_neither_be_paid_nor_cancelled(deps: Deps) -> None:
    for attempt in (pay(deps, uuid4()), cancel_order(deps, BUYER.id, uuid4())):
        with pytest.raises(NotFound):
            await attempt


async def test_no_card_number_reaches_the_database(deps: Deps, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="services")
    order_id = await placed(deps)
    with pytest.raises(AppError):
        await pay(deps, order_id, "poor", POOR)
    await pay(deps, order_id)
    tables = await deps.db.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    rows = [await deps.db.fetch(f"SELECT t::text AS row FROM {table['name']} t") for table in tables]
    everything = str(rows) + caplog.text
    assert "'4242'" in everything or ",4242," in everything
    assert GOOD not in everything
    assert POOR not in everything
