"""Place, pay, cancel and recover, against a real database, and a catalog and provider that can fail."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from services.contracts import CancelReason, OrderCancelled, OrderConfirmed, OrderCreated, OrderEvent, decode
from services.defaults.database import Database
from services.defaults.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from services.ordering.domain import Order, PaymentState, Status, Wanted, payment_id
from services.ordering.service.cancel import cancel_order, expire_order
from services.ordering.service.deps import Deps
from services.ordering.service.keyed import Answer
from services.ordering.service.notice import take_notice
from services.ordering.service.pay import pay_order
from services.ordering.service.place import Placement, place_order
from services.ordering.service.recover import prune, recover_once
from services.ordering.store import orders, payments
from tests.ordering.support import (
    BUYER,
    CONCERT_ID,
    DECLINED,
    GOOD,
    LATE,
    POOR,
    SEATED,
    STANDING,
    STRANGER,
    Crash,
    CrashAt,
    FakeCatalog,
    FakeProvider,
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


async def recover(deps: Deps) -> None:
    """As the loop would, until nothing is left to do; a payment that stays unclear would go on for ever."""
    for _ in range(5):
        await recover_once(deps)


async def end_hold(deps: Deps, order_id: UUID) -> None:
    await deps.db.execute("UPDATE orders SET expires_at = now() - interval '1 second' WHERE id = $1", order_id)


# Placing


async def test_place_holds_and_writes_everything_at_once(deps: Deps, catalog: FakeCatalog) -> None:
    answer = await place(deps)
    document = answer.document
    assert not answer.replayed
    assert document["status"] == "PENDING"
    assert document["total"] == {"amountMinor": TOTAL, "currency": "EUR"}
    assert [ticket["code"] for ticket in document["tickets"]] == [None, None]
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    (created,) = await events(deps)
    assert isinstance(created, OrderCreated)
    assert (created.email, created.number, created.total_minor) == (BUYER.email, document["number"], TOTAL)


async def test_the_same_key_gets_the_stored_answer(deps: Deps, catalog: FakeCatalog) -> None:
    first, second = await place(deps, "twice"), await place(deps, "twice")
    assert second == Answer(first.document, replayed=True)
    assert catalog.calls == ["hold"]
    assert len(await events(deps)) == 1


async def test_a_key_is_good_for_one_body(deps: Deps) -> None:
    await place(deps, "mixed")
    with pytest.raises(Invalid):
        await place(deps, "mixed", Placement(CONCERT_ID, (Wanted(SEATED, 2),)))


async def test_two_buyers_may_use_the_same_key(deps: Deps) -> None:
    mine = await place(deps, "common")
    theirs = await place_order(deps, STRANGER, "common", TWO)
    assert mine.document["id"] != theirs.document["id"]


async def test_fifty_clicks_make_one_order(deps: Deps, catalog: FakeCatalog) -> None:
    patient = replace(deps, policy=replace(deps.policy, key_lease_s=30))
    results = await asyncio.gather(*(place(patient, "storm") for _ in range(50)), return_exceptions=True)
    ids = {result.document["id"] for result in results if isinstance(result, Answer)}
    refusals = [result for result in results if not isinstance(result, Answer)]
    assert len(ids) == 1
    assert all(isinstance(refusal, Conflict) and refusal.retry_after_s for refusal in refusals)
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    assert len(await events(deps)) == 1


async def test_a_lapsed_lease_lets_two_work_and_one_order_win(deps: Deps, catalog: FakeCatalog) -> None:
    answers = await asyncio.gather(*(place(deps, "overlap") for _ in range(10)))
    assert len({answer.document["id"] for answer in answers}) == 1
    assert catalog.stock == {SEATED: 9, STANDING: 9}
    assert len(await events(deps)) == 1


async def test_sold_out_leaves_nothing_and_may_be_tried_again(deps: Deps, catalog: FakeCatalog) -> None:
    catalog.stock[STANDING] = 0
    with pytest.raises(Conflict) as refusal:
        await place(deps, "again")
    assert refusal.value.code == "SOLD_OUT"
    assert await deps.db.fetch("SELECT 1 FROM orders") == []
    catalog.stock[STANDING] = 1
    assert (await place(deps, "again")).document["status"] == "PENDING"


async def test_a_transaction_that_fails_gives_the_tickets_back(
    deps: Deps, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("services.ordering.service.place.stage_event", refuse)
        with pytest.raises(Unavailable):
            await place(deps, "full")
    assert catalog.stock == {SEATED: 10, STANDING: 10}
    assert await deps.db.fetch("SELECT 1 FROM orders") == []
    assert (await place(deps, "full")).document["status"] == "PENDING"


async def test_numbers_that_are_taken_are_tried_again(deps: Deps) -> None:
    bits = iter([7, 7, 8])
    lucky = replace(deps, random_bits=lambda _: next(bits))
    first, second = await place(lucky), await place(lucky)
    assert first.document["number"] != second.document["number"]


async def test_a_forgotten_key_still_finds_its_order(deps: Deps) -> None:
    first = await place(deps, "old")
    await deps.db.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    await prune(deps)
    again = await place(deps, "old")
    assert again.replayed
    assert again.document["id"] == first.document["id"]


# Paying


async def test_paying_confirms_the_order(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    document = (await pay(deps, order_id)).document
    assert document["status"] == "CONFIRMED"
    assert all(ticket["code"] for ticket in document["tickets"])
    assert document["expiresAt"] is None
    assert [entry["event"] for entry in document["timeline"]] == ["placed", "payment_started", "confirmed"]
    assert provider.taken_minor == TOTAL
    assert await state(deps, order_id) is PaymentState.SUCCEEDED
    confirmed = (await events(deps))[-1]
    assert isinstance(confirmed, OrderConfirmed)
    assert len(confirmed.tickets) == 2


async def test_the_same_payment_is_answered_from_memory(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    first, second = await pay(deps, order_id), await pay(deps, order_id)
    assert second == Answer(first.document, replayed=True)
    assert len(provider.charges) == 1


@pytest.mark.parametrize("lease_s", [0, 30])
async def test_fifty_payments_with_one_key_charge_once(deps: Deps, provider: FakeProvider, lease_s: float) -> None:
    policy = replace(deps.policy, key_lease_s=lease_s)
    order_id = await placed(deps)
    await asyncio.gather(*(pay(replace(deps, policy=policy), order_id) for _ in range(50)), return_exceptions=True)
    assert (await load(deps, order_id)).status is Status.CONFIRMED
    assert provider.taken_minor == TOTAL
    assert len(await events(deps)) == 2


async def test_payments_with_different_keys_charge_once(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    results = await asyncio.gather(
        *(pay(deps, order_id, f"window-{number}") for number in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Answer) for result in results) == 1
    assert all(isinstance(result, Answer | Conflict) for result in results)
    assert provider.taken_minor == TOTAL


@pytest.mark.parametrize(("number", "word"), [(DECLINED, "declined"), (POOR, "enough money")])
async def test_a_declined_card_leaves_the_order_pending(
    deps: Deps, provider: FakeProvider, number: str, word: str
) -> None:
    order_id = await placed(deps)
    for _ in range(2):  # the second answer is the stored one
        with pytest.raises(Conflict, match=word) as refusal:
            await pay(deps, order_id, "card-1", number)
        assert (refusal.value.code, refusal.value.status) == ("PAYMENT_DECLINED", 402)
    assert (await load(deps, order_id)).status is Status.PENDING
    assert provider.taken_minor == 0
    assert (await pay(deps, order_id, "card-2")).document["status"] == "CONFIRMED"


async def test_an_order_is_paid_once(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    await pay(deps, order_id, "one")
    with pytest.raises(Conflict):
        await pay(deps, order_id, "two")
    assert len(provider.charges) == 1


async def test_a_strangers_order_is_not_there(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    with pytest.raises(NotFound):
        await pay_order(deps, STRANGER, order_id, "theirs", card())
    with pytest.raises(NotFound):
        await cancel_order(deps, STRANGER.id, order_id)
    assert provider.charges == {}


async def test_after_its_time_an_order_cannot_be_paid(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    await end_hold(deps, order_id)
    with pytest.raises(Conflict):
        await pay(deps, order_id)
    assert provider.charges == {}


# Paying, when things go wrong


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


async def test_a_notification_makes_recovery_look_at_once(deps: Deps, provider: FakeProvider) -> None:
    slow = replace(deps, policy=replace(deps.policy, recheck_s=3600))
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


# Cancelling and expiring


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

    async def found_before_that(db: Database, _grace_s: float) -> orders.Locked | None:
        return await orders.lock_order(db, order_id)

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


# Crashes

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
