"""Books that close, with an order in every state: what each rule's test then breaks in one place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from services.apphost.audit.records import (
    Books,
    Broker,
    Catalog,
    Charge,
    Event,
    Hold,
    Identity,
    Key,
    Order,
    Ordering,
    Payment,
    Seat,
    Stock,
)
from services.contracts import (
    NOTIFICATIONS_DEAD_QUEUE,
    NOTIFICATIONS_QUEUE,
    ORDER_CANCELLED,
    ORDER_CONFIRMED,
    ORDER_CREATED,
)

NOW = datetime(2030, 5, 17, 20, 0, tzinfo=UTC)
T = TypeVar("T")


def an_order(id_: str, status: str, **changes: Any) -> Order:
    order = Order(
        id=id_,
        number="K7QF-2M9X",
        user_id="ada",
        status=status,
        tickets={f"{id_}-1": None, f"{id_}-2": None},
        quantity=2,
        lines_minor=9800,
        total_minor=9800,
        currency="EUR",
        created_at=NOW - timedelta(minutes=5),
        overdue_s=-300.0,
    )
    return replace(order, **changes)


def a_charge(payment_id: str, status: str) -> Charge:
    return Charge(payment_id=payment_id, status=status, amount_minor=9800, currency="EUR")


def a_payment(id_: str, order_id: str, state: str) -> Payment:
    return Payment(id=id_, order_id=order_id, state=state, amount_minor=9800, currency="EUR")


def a_hold(order_id: str, state: str, *, held: int = 0, sold: int = 0, **changes: Any) -> Hold:
    hold = Hold(order_id=order_id, channel="SHOP", state=state, quantity=2, running=True, held=held, sold=sold)
    return replace(hold, **changes)


def events_of(order_id: str, first: int, *kinds: str) -> list[Event]:
    return [
        Event(
            sequence=first + number,
            id=f"{order_id}-event-{number}",
            order_id=order_id,
            type=kind,
            published_at=NOW + timedelta(seconds=first + number),
        )
        for number, kind in enumerate(kinds)
    ]


def good_books() -> Books:
    """One order that is pending, one confirmed after a declined card, one bought and cancelled, one that lapsed."""
    orders = (
        an_order("pending", "PENDING"),
        an_order("confirmed", "CONFIRMED", tickets={"confirmed-1": "AA", "confirmed-2": "BB"}, confirmed_at=NOW),
        an_order("returned", "CANCELLED", confirmed_at=NOW, cancelled_at=NOW),
        an_order("lapsed", "CANCELLED", cancelled_at=NOW, overdue_s=60.0),
    )
    events = (
        *events_of("pending", 1, ORDER_CREATED),
        *events_of("confirmed", 10, ORDER_CREATED, ORDER_CONFIRMED),
        *events_of("returned", 20, ORDER_CREATED, ORDER_CONFIRMED, ORDER_CANCELLED),
        *events_of("lapsed", 30, ORDER_CREATED, ORDER_CANCELLED),
    )
    catalog = Catalog(
        stocks=(Stock(concert_id="c", slug="last-boat", capacity=14, free=7, held=2, sold=5),),
        holds=(
            a_hold("pending", "HELD", held=2),
            a_hold("confirmed", "CONFIRMED", sold=2),
            a_hold("returned", "RELEASED"),
            a_hold("lapsed", "RELEASED", running=False),
            a_hold("nobody", "HELD", running=False),
            a_hold("box-office", "CONFIRMED", channel="BOX_OFFICE", quantity=3, sold=3),
        ),
        seats=(
            Seat(id="pending-1", order_id="pending"),
            Seat(id="pending-2", order_id="pending"),
            Seat(id="confirmed-1", order_id="confirmed", code="AA"),
            Seat(id="confirmed-2", order_id="confirmed", code="BB"),
        ),
    )
    payments = (
        a_payment("p-declined", "confirmed", "declined"),
        a_payment("p-good", "confirmed", "succeeded"),
        a_payment("p-returned", "returned", "refunded"),
        a_payment("p-void", "lapsed", "void"),
    )
    charges = (
        a_charge("p-declined", "declined"),
        a_charge("p-good", "succeeded"),
        a_charge("p-returned", "refunded"),
        Charge(payment_id="p-void", status="voided", amount_minor=0, currency=""),
    )
    keys = (
        Key(name="place k1 of user ada", status=201, order_id="pending", order_status="PENDING", leased_s=20.0),
        Key(name="pay k2 of user ada", status=200, order_id="confirmed", order_status="CONFIRMED", leased_s=-9.0),
        Key(name="place k3 of user ada", status=None, order_id=None, order_status=None, leased_s=20.0),
        Key(name="pay k4 of user ada", status=402, order_id=None, order_status=None, leased_s=-9.0),
    )
    return Books(
        catalog=catalog,
        ordering=Ordering(now=NOW, orders=orders, payments=payments, events=events, keys=keys),
        identity=Identity(user_ids=frozenset({"ada"})),
        charges=charges,
        broker=Broker(queues={NOTIFICATIONS_QUEUE: 0, NOTIFICATIONS_DEAD_QUEUE: 1}, dead={"not-ours": "bad JSON"}),
        mails={event.id: 1 for event in events},
        acknowledged={"pending": "PENDING", "returned": "CONFIRMED"},
    )


def changed(things: tuple[T, ...], at: int, **changes: Any) -> tuple[T, ...]:
    """The same with one of them different."""
    return (*things[:at], replace(things[at], **changes), *things[at + 1 :])  # type: ignore[type-var] # all are dataclasses


def with_order(books: Books, id_: str, **changes: Any) -> Books:
    at = [order.id for order in books.ordering.orders].index(id_)
    return with_ordering(books, orders=changed(books.ordering.orders, at, **changes))


def with_payment(books: Books, id_: str, **changes: Any) -> Books:
    at = [payment.id for payment in books.ordering.payments].index(id_)
    return with_ordering(books, payments=changed(books.ordering.payments, at, **changes))


def with_charge(books: Books, payment_id: str, **changes: Any) -> Books:
    at = [charge.payment_id for charge in books.charges].index(payment_id)
    return replace(books, charges=changed(books.charges, at, **changes))


def with_event(books: Books, id_: str, **changes: Any) -> Books:
    at = [event.id for event in books.ordering.events].index(id_)
    return with_ordering(books, events=changed(books.ordering.events, at, **changes))


def with_hold(books: Books, order_id: str, **changes: Any) -> Books:
    at = [hold.order_id for hold in books.catalog.holds].index(order_id)
    return with_catalog(books, holds=changed(books.catalog.holds, at, **changes))


def with_ordering(books: Books, **changes: Any) -> Books:
    return replace(books, ordering=replace(books.ordering, **changes))


def with_catalog(books: Books, **changes: Any) -> Books:
    return replace(books, catalog=replace(books.catalog, **changes))
