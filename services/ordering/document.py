"""An order as its owner sees it: the JSON that the API answers with, and that idempotency keys keep."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.ordering.domain import Line, Order, Status, Ticket


def order_document(order: Order) -> dict[str, Any]:
    """The order in the public shape. Times are RFC 3339 in UTC, money is in minor units."""
    pending = order.status is Status.PENDING
    return {
        "id": str(order.id),
        "number": order.number,
        "status": str(order.status),
        "cancelReason": order.cancel_reason and str(order.cancel_reason),
        "concertId": order.concert.id,
        "concert": _concert(order),
        "lines": [_line(line, order.currency) for line in order.lines],
        "tickets": [_ticket(ticket) for ticket in order.tickets],
        "total": _money(order.total_minor, order.currency),
        "createdAt": _time(order.created_at),
        "expiresAt": _time(order.expires_at) if pending else None,
        "timeline": [{"event": entry.event, "at": _time(entry.at)} for entry in order.timeline],
    }


def _concert(order: Order) -> dict[str, Any]:
    concert = order.concert
    return {
        "id": concert.id,
        "title": concert.title,
        "artist": concert.artist,
        "slug": concert.slug,
        "startsAt": _time(concert.starts_at),
        "doorsAt": concert.doors_at and _time(concert.doors_at),
        "timeZone": concert.time_zone,
        "venue": concert.venue,
        "city": concert.city,
        "country": concert.country,
        "address": concert.address,
    }


def _line(line: Line, currency: str) -> dict[str, Any]:
    return {
        "tierId": line.tier_id,
        "tierName": line.tier_name,
        "quantity": line.quantity,
        "unitPrice": _money(line.unit_price_minor, currency),
    }


def _ticket(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "tier": ticket.tier,
        "section": ticket.section,
        "row": ticket.row,
        "seat": ticket.seat,
        "code": ticket.code,
    }


def _money(amount_minor: int, currency: str) -> dict[str, Any]:
    return {"amountMinor": amount_minor, "currency": currency}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
