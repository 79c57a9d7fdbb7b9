"""What the database itself refuses, and what its statements promise."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from tortoise.exceptions import IntegrityError

from services.contracts import CancelReason
from services.defaults.database import Database, migrate
from services.ordering.domain import Hold as DomainHold
from services.ordering.domain import Line, Order, PaymentState, Ticket, new_order, total_minor
from services.ordering.store import orders, outbox, payments
from tests.ordering.support import BUYER, CONCERT, MODELS, SEATED, card

HOLD = DomainHold(
    CONCERT,
    (Line(SEATED, "Balcony", 2, 7_500),),
    (Ticket("t-1", "Balcony", "A", "1", "7"), Ticket("t-2", "Balcony")),
    "EUR",
    600,
)


async def insert(db: Database, number: str = "", order_id: UUID | None = None) -> Order:
    new_id, number = order_id or uuid4(), number or uuid4().hex[:9]
    times = await orders.insert_order(db, new_id, BUYER, HOLD, number=number, total_minor=total_minor(HOLD.lines))
    assert times
    return new_order(new_id, number, BUYER, HOLD, now=times[0], expires=times[1])


def coded(order: Order, prefix: str = "") -> list[Ticket]:
    return [replace(ticket, code=f"{prefix}{ticket.id}") for ticket in order.tickets]


async def test_an_order_is_read_as_it_was_written(db: Database) -> None:
    order = await insert(db)
    stored = await orders.select_order(db, order.id)
    assert stored == order
    assert await orders.select_order(db, order.id, "somebody else") is None


async def test_migrating_again_changes_nothing(database_url: str, db: Database) -> None:
    order = await insert(db)
    await asyncio.gather(migrate(database_url, MODELS), migrate(database_url, MODELS))
    assert await orders.select_order(db, order.id)


@pytest.mark.parametrize("path", ["CONFIRMED PENDING", "CANCELLED PENDING", "CANCELLED CONFIRMED"])
async def test_the_database_refuses_illegal_transitions(db: Database, path: str) -> None:
    order = await insert(db)
    extras = {
        "PENDING": "confirmed_at = NULL, cancelled_at = NULL, cancel_reason = NULL",
        "CONFIRMED": "confirmed_at = now(), cancelled_at = NULL, cancel_reason = NULL",
        "CANCELLED": "cancelled_at = now(), cancel_reason = 'BUYER'",
    }
    first, second = path.split()
    await db.execute(f"UPDATE orders SET status = '{first}', {extras[first]} WHERE id = $1", order.id)
    with pytest.raises(IntegrityError):
        await db.execute(f"UPDATE orders SET status = '{second}', {extras[second]} WHERE id = $1", order.id)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'PAID'",
        "status = 'CANCELLED', cancelled_at = now()",
        "status = 'CONFIRMED'",
        "cancel_reason = 'BUYER'",
        "total_minor = -1",
        "currency = 'eur'",
    ],
)
async def test_the_database_refuses_what_makes_no_sense(db: Database, change: str) -> None:
    order = await insert(db)
    with pytest.raises(IntegrityError):
        await db.execute(f"UPDATE orders SET {change} WHERE id = $1", order.id)


async def test_an_order_begins_pending(db: Database) -> None:
    order = await insert(db)
    with pytest.raises(IntegrityError):
        await db.execute(
            "INSERT INTO orders SELECT gen_random_uuid(), 'other', user_id, email, name, 'CONFIRMED', NULL, concert_id,"
            " concert, total_minor, currency, created_at, expires_at, now(), NULL, NULL FROM orders WHERE id = $1",
            order.id,
        )


async def test_a_taken_number_is_told_and_a_taken_id_refused(db: Database) -> None:
    order = await insert(db, "K7QF-2M9X")
    again = await orders.insert_order(db, uuid4(), BUYER, HOLD, number=order.number, total_minor=1)
    assert again is None
    with pytest.raises(IntegrityError):
        await insert(db, "another", order.id)


async def test_no_ticket_is_in_two_live_orders(db: Database) -> None:
    one, other = await insert(db), await insert(db)
    sold = one.confirmed(coded(one), one.created_at)
    await orders.update_confirmed(db, sold)
    with pytest.raises(IntegrityError):
        await orders.update_confirmed(db, other.confirmed(coded(other, "x"), other.created_at))
    await orders.update_cancelled(db, sold.cancelled(CancelReason.BUYER, one.created_at), 0)
    third = await insert(db)
    await orders.update_confirmed(db, third.confirmed(coded(third, "y"), third.created_at))


@pytest.mark.parametrize("state", ["started", "unclear", "succeeded", "refund_due"])
async def test_an_order_has_one_live_payment(db: Database, state: str) -> None:
    order = await insert(db)
    first = await payments.insert_payment(db, uuid4(), order, card(), key="one", lease_s=0)
    assert await payments.update_state(db, first, PaymentState(state))
    with pytest.raises(IntegrityError):
        await payments.insert_payment(db, uuid4(), order, card(), key="two", lease_s=0)


async def test_a_payment_moves_once(db: Database) -> None:
    order = await insert(db)
    payment = await payments.insert_payment(db, uuid4(), order, card(), key="one", lease_s=0)
    moves = [payments.update_state(db, payment, state) for state in (PaymentState.DECLINED, PaymentState.SUCCEEDED)]
    assert sorted(await asyncio.gather(*moves)) == [False, True]


async def test_unfinished_payments_are_shared_out(db: Database) -> None:
    for _ in range(6):
        await payments.insert_payment(db, uuid4(), await insert(db), card(), key="k", lease_s=0)
    shares = await asyncio.gather(*(payments.claim_unfinished(db, 2, lease_s=60) for _ in range(4)))
    claimed = [payment.id for share in shares for payment, _ in share]
    assert len(claimed) == len(set(claimed)) == 6


async def test_pages_follow_each_other(db: Database) -> None:
    placed = [(await insert(db)).id for _ in range(5)]
    page = await orders.select_orders(db, BUYER.id, 2, None)
    seen = [order.id for order in page]
    while page:
        page = await orders.select_orders(db, BUYER.id, 2, (page[-1].created_at, page[-1].id))
        seen += [order.id for order in page]
    assert seen == placed[::-1]
    assert await orders.select_orders(db, "somebody else", 10, None) == []


async def stage(db: Database, order: Order, name: str) -> None:
    await outbox.insert_event(db, order.id, event_id=uuid4(), event_type=name, payload=b"{}", traceparent="")


async def test_events_of_one_order_leave_one_after_the_other(db: Database) -> None:
    one, other = await insert(db), await insert(db)
    for order, name in ((one, "1a"), (one, "1b"), (other, "2a")):
        await stage(db, order, name)
    first = await outbox.claim_batch(db, 10, lease_s=60)
    assert [staged.type for staged in first] == ["1a", "2a"]
    assert await outbox.claim_batch(db, 10, lease_s=60) == []
    await outbox.mark_published(db, [staged.id for staged in first])
    assert [staged.type for staged in await outbox.claim_batch(db, 10, lease_s=60)] == ["1b"]


async def test_relays_share_events_out(db: Database) -> None:
    for _ in range(12):
        await stage(db, await insert(db), "e")
    shares = await asyncio.gather(*(outbox.claim_batch(db, 4, lease_s=60) for _ in range(5)))
    claimed = [staged.id for share in shares for staged in share]
    assert len(claimed) == len(set(claimed)) == 12


async def test_a_claim_that_lapsed_or_was_given_back_is_anybodys(db: Database) -> None:
    await stage(db, await insert(db), "e")
    assert len(await outbox.claim_batch(db, 10, lease_s=0)) == 1
    (again,) = await outbox.claim_batch(db, 10, lease_s=60)
    await outbox.release_claims(db, [again.id])
    assert len(await outbox.claim_batch(db, 10, lease_s=60)) == 1
    assert await outbox.select_lag_s(db) > 0


async def test_only_published_events_are_forgotten(db: Database) -> None:
    for name in ("old", "new"):
        await stage(db, await insert(db), name)
    (old, _) = await outbox.claim_batch(db, 10, lease_s=0)
    await outbox.mark_published(db, [old.id])
    assert await outbox.delete_published(db, 3600, 10) == 0
    assert await outbox.delete_published(db, -1, 10) == 1
    assert [staged.type for staged in await outbox.claim_batch(db, 10, lease_s=0)] == ["new"]
