"""Payments whose answers are late or lost, and tickets that went meanwhile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from services.contracts import CancelReason, OrderCancelled
from services.defaults.errors import Conflict, Unavailable
from services.ordering.domain import PaymentState, Status, payment_id
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from services.ordering.service.notice import take_notice
from services.ordering.store import payments
from tests.ordering.flows import (
    TOTAL,
    end_hold,
    events,
    load,
    pay,
    placed,
    recover,
    recover_once,
    state,
)
from tests.ordering.support import (
    BUYER,
    DECLINED,
    GOOD,
    LATE,
    SEATED,
    STANDING,
    FakeCatalog,
    FakeProvider,
)


async def test_an_answer_that_was_lost_is_found_by_recovery(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.lost = 1
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    assert await state(deps, order_id) is PaymentState.UNCLEAR
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert provider.taken_minor == TOTAL
    assert (await pay(deps, order_id)).replayed


async def test_the_buyer_may_ask_again_with_the_same_key(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.lost = 1
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    assert (await pay(deps, order_id)).document["status"] == "CONFIRMED"
    assert len(provider.charges) == 1


async def test_while_a_payment_is_unclear_no_other_begins(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "late", LATE)
    with pytest.raises(Conflict):
        await pay(deps, order_id, "other")
    with pytest.raises(Conflict):
        await cancel_order(deps, BUYER.id, order_id)
    await end_hold(deps, order_id)
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.PENDING
    assert len(provider.charges) == 1


async def test_late_money_buys_the_tickets_if_they_are_there(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "late", LATE)
    catalog.lose(order_id)
    await end_hold(deps, order_id)
    provider.succeed(payment_id(order_id, "late"), TOTAL)
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert catalog.stock == {SEATED: 9, STANDING: 9}


async def test_late_money_goes_back_if_they_are_gone(deps: Deps, catalog: FakeCatalog, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "late", LATE)
    catalog.lose(order_id)
    catalog.stock[STANDING] = 0
    provider.succeed(payment_id(order_id, "late"), TOTAL)
    await recover(deps)
    order = await load(deps, order_id)
    assert (order.status, order.cancel_reason) == (Status.CANCELLED, CancelReason.SOLD_OUT)
    assert await state(deps, order_id) is PaymentState.REFUNDED
    assert provider.taken_minor == 0
    with pytest.raises(Conflict) as refusal:
        await pay(deps, order_id, "late", LATE)
    assert refusal.value.code == "SOLD_OUT"


async def test_a_hold_that_lapsed_while_paying_is_taken_again(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)
    provider.on_charge = lambda: catalog.lose(order_id)
    assert (await pay(deps, order_id)).document["status"] == "CONFIRMED"
    assert catalog.stock == {SEATED: 9, STANDING: 9}


async def test_tickets_that_went_while_paying_are_refunded_at_once(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)

    def snatch() -> None:
        catalog.lose(order_id)
        catalog.stock[SEATED] = 0

    provider.on_charge = snatch
    with pytest.raises(Conflict) as refusal:
        await pay(deps, order_id)
    assert refusal.value.code == "SOLD_OUT"
    assert provider.taken_minor == 0
    cancelled = (await events(deps))[-1]
    assert isinstance(cancelled, OrderCancelled)
    assert (cancelled.reason, cancelled.refunded) == (CancelReason.SOLD_OUT, True)


async def test_who_comes_too_late_to_settle_leaves_no_ticket_behind(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)

    async def settled_and_cancelled() -> None:
        await recover(deps)
        await cancel_order(deps, BUYER.id, order_id)
        catalog.sold[order_id] = ()  # what our own answer stands for is sold after that release

    catalog.meanwhile["confirm"] = settled_and_cancelled
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.CANCELLED
    assert (provider.taken_minor, catalog.sold) == (0, {})
    assert len(await events(deps)) == 3


async def test_who_comes_too_late_holds_nothing_again(deps: Deps, catalog: FakeCatalog, provider: FakeProvider) -> None:
    order_id = await placed(deps)

    async def settled_and_cancelled() -> None:
        await recover(deps)
        await cancel_order(deps, BUYER.id, order_id)
        raise Conflict("The tickets were given to somebody else.", code="HOLD_LOST")

    catalog.meanwhile["confirm"] = settled_and_cancelled
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    assert (provider.taken_minor, catalog.stock) == (0, {SEATED: 10, STANDING: 10})


async def test_a_catalog_that_is_away_delays_and_loses_nothing(
    deps: Deps, catalog: FakeCatalog, provider: FakeProvider
) -> None:
    order_id = await placed(deps)
    catalog.fail("confirm")
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    assert (await load(deps, order_id)).status is Status.PENDING
    await recover(deps)
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert provider.taken_minor == TOTAL


async def test_a_request_that_never_arrived_is_called_off(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "lost")
    provider.away = False
    await recover(deps)
    assert await state(deps, order_id) is PaymentState.VOID
    with pytest.raises(Conflict) as refusal:
        await pay(deps, order_id, "lost")
    assert refusal.value.status == 402
    assert (await pay(deps, order_id, "next")).document["status"] == "CONFIRMED"
    assert provider.taken_minor == TOTAL


async def test_calling_off_loses_its_answer_and_is_found_done(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "lost")
    provider.away, provider.lost = False, 1
    await recover_once(deps)
    assert await state(deps, order_id) is PaymentState.UNCLEAR
    await recover_once(deps)
    assert await state(deps, order_id) is PaymentState.VOID


async def test_a_question_that_failed_is_asked_again_soon(deps: Deps, provider: FakeProvider) -> None:
    patient = replace(deps, policy=lambda: replace(deps.policy(), work_lease_s=3600))
    order_id = await placed(patient)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(patient, order_id)
    assert await recover_once(patient) == 1
    provider.away = False
    assert await recover_once(patient) == 1
    assert await state(patient, order_id) is PaymentState.VOID


async def test_a_question_that_failed_takes_nothing_from_who_came_meanwhile(deps: Deps, provider: FakeProvider) -> None:
    patient = replace(deps, policy=lambda: replace(deps.policy(), work_lease_s=3600))
    order_id = await placed(patient)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(patient, order_id)

    async def taken_over() -> None:
        await payments.extend_lease(deps.db, payment_id(order_id, f"pay-{order_id}"), 3600)
        raise Unavailable("away")

    provider.away, provider.meanwhile["call_off"] = False, taken_over
    assert await recover_once(patient) == 1
    assert await recover_once(patient) == 0


@pytest.mark.parametrize(("number", "end"), [(GOOD, PaymentState.SUCCEEDED), (DECLINED, PaymentState.DECLINED)])
async def test_who_retries_while_recovery_calls_off_keeps_what_was_charged(
    deps: Deps, provider: FakeProvider, number: str, end: PaymentState
) -> None:
    """The request was lost; the next one charges between recovery's question and its word to call it off."""
    order_id = await placed(deps)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "again", number)
    provider.away = False

    async def retried() -> None:
        with suppress(Conflict):  # the declined card's
            await pay(deps, order_id, "again", number)

    provider.meanwhile["call_off"] = retried
    await recover_once(deps)
    assert await state(deps, order_id) is end
    paid = end is PaymentState.SUCCEEDED
    assert (await load(deps, order_id)).status is (Status.CONFIRMED if paid else Status.PENDING)
    assert provider.taken_minor == (TOTAL if paid else 0)
    assert len(await events(deps)) == (2 if paid else 1)


async def test_who_retries_after_recovery_called_off_is_told_so(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.away = True
    with pytest.raises(Unavailable):
        await pay(deps, order_id, "lost")
    provider.away = False
    await provider.call_off(payment_id(order_id, "lost"))  # and recovery dies before it writes that down
    with pytest.raises(Conflict) as refusal:
        await pay(deps, order_id, "lost")
    assert (refusal.value.code, refusal.value.status) == ("PAYMENT_DECLINED", 402)
    assert await state(deps, order_id) is PaymentState.VOID
    assert (await pay(deps, order_id, "other card")).document["status"] == "CONFIRMED"
    assert provider.taken_minor == TOTAL


async def test_a_notification_makes_recovery_look_at_once(deps: Deps, provider: FakeProvider) -> None:
    slow = replace(deps, policy=lambda: replace(deps.policy(), recheck_s=3600))
    order_id = await placed(slow)
    with pytest.raises(Unavailable):
        await pay(slow, order_id, "late", LATE)
    attempt = payment_id(order_id, "late")
    provider.succeed(attempt, TOTAL)
    await recover(slow)
    assert (await load(slow, order_id)).status is Status.PENDING
    assert await take_notice(slow, "event-1", attempt)
    assert not await take_notice(slow, "event-1", attempt)
    await recover(slow)
    assert (await load(slow, order_id)).status is Status.CONFIRMED
