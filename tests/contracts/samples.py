"""One order as each of its events tells it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.contracts import (
    CancelReason,
    ConcertInfo,
    LineInfo,
    OrderCancelled,
    OrderConfirmed,
    OrderCreated,
    TicketInfo,
)

ORDERED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

CONCERT = ConcertInfo(
    id="6f0b1c1e-5f0a-4d55-9d3e-6c1f3a0e7b11",
    title="Nachtfahrt: The Long Way Home",
    artist="Ida Sørensen & Band",
    slug="nachtfahrt-berlin",
    starts_at=datetime(2026, 4, 17, 18, 0, tzinfo=UTC),
    doors_at=datetime(2026, 4, 17, 17, 0, tzinfo=UTC),
    time_zone="Europe/Berlin",
    venue="Columbiahalle",
    city="Berlin",
    country="DE",
    address="Columbiadamm 13",
)
TICKETS = (
    TicketInfo(id="t-1", tier="Balcony", section="Left", row="C", seat="14", code="TF-8F3K-22QP-XJ7W"),
    TicketInfo(id="t-2", tier="Balcony", section="Left", row="C", seat="15", code="TF-8F3K-22QP-XJ7X"),
    TicketInfo(id="t-3", tier="Standing", code="TF-8F3K-22QP-XJ7Y"),
)


def order(**changes: Any) -> dict[str, Any]:
    """The fields that all events of the order share."""
    fields: dict[str, Any] = {
        "order_id": "0b6e6b0a-5a54-4e62-8c39-0d7e7a5f2c01",
        "number": "TF-7Q4K2M",
        "user_id": "5b3d9b52-0f6a-4f0e-9a51-1f3f0f2a9c02",
        "email": "ada@example.com",
        "name": "Ada Lovelace",
        "concert": CONCERT,
        "lines": (
            LineInfo(tier_id="tier-b", tier_name="Balcony", quantity=2, unit_price_minor=4900),
            LineInfo(tier_id="tier-s", tier_name="Standing", quantity=1, unit_price_minor=3500),
        ),
        "total_minor": 13300,
        "currency": "EUR",
        "created_at": ORDERED_AT,
    }
    return fields | changes


def created(**changes: Any) -> OrderCreated:
    return OrderCreated(**order(expires_at=ORDERED_AT + timedelta(minutes=15)) | changes)


def confirmed(**changes: Any) -> OrderConfirmed:
    return OrderConfirmed(**order(tickets=TICKETS, confirmed_at=ORDERED_AT + timedelta(minutes=2)) | changes)


def cancelled(**changes: Any) -> OrderCancelled:
    return OrderCancelled(
        **order(reason=CancelReason.SOLD_OUT, refunded=True, cancelled_at=ORDERED_AT + timedelta(minutes=3)) | changes
    )
