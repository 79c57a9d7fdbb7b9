"""What the rest of the system is told about an order: the events of `services.contracts`, from our own types."""

from __future__ import annotations

from typing import Any

from services.contracts import (
    ConcertInfo,
    LineInfo,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    OrderEvent,
    TicketInfo,
)
from services.ordering.domain import Order, Status


def latest_event(order: Order, *, refunded: bool = False) -> OrderEvent:
    """The event that tells of the state in which `order` is now. `refunded`: its money goes back."""
    if order.status is Status.PENDING:
        return OrderCreated(**_common(order), expires_at=order.expires_at)
    if order.status is Status.CONFIRMED:
        tickets = tuple(
            TicketInfo(id=t.id, tier=t.tier, section=t.section, row=t.row, seat=t.seat, code=t.code or "")
            for t in order.tickets
        )
        return OrderConfirmed(**_common(order), tickets=tickets, confirmed_at=_set(order.confirmed_at))
    return OrderCancelled(
        **_common(order),
        reason=_set(order.cancel_reason),
        refunded=refunded,
        cancelled_at=_set(order.cancelled_at),
    )


def _common(order: Order) -> dict[str, Any]:
    concert = order.concert
    return {
        "order_id": str(order.id),
        "number": order.number,
        "user_id": order.buyer.id,
        "email": order.buyer.email,
        "name": order.buyer.name,
        "concert": ConcertInfo(
            id=concert.id,
            title=concert.title,
            artist=concert.artist,
            slug=concert.slug,
            starts_at=concert.starts_at,
            doors_at=concert.doors_at,
            time_zone=concert.time_zone,
            venue=concert.venue,
            city=concert.city,
            country=concert.country,
            address=concert.address,
        ),
        "lines": tuple(
            LineInfo(
                tier_id=line.tier_id,
                tier_name=line.tier_name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
            )
            for line in order.lines
        ),
        "total_minor": order.total_minor,
        "currency": order.currency,
        "created_at": order.created_at,
    }


def _set(value: Any) -> Any:
    """A field that the order's state implies; the database's checks see to it as well."""
    if value is None:
        raise ValueError("an order in this state must say when and why")
    return value
