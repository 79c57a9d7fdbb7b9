"""Orders with their lines, tickets and timeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.contracts import CancelReason
from services.defaults.database import Database
from services.defaults.telemetry import current_trace_id
from services.ordering.domain import (
    Buyer,
    Concert,
    Entry,
    Hold,
    Line,
    Order,
    Status,
    Step,
    Ticket,
)

# One statement for a whole order: a page of orders would otherwise cost four round trips.
_ORDER: Final = """
SELECT o.id, o.number, o.user_id, o.email, o.name, o.status, o.cancel_reason, o.concert::text AS concert,
       o.total_minor, o.currency, o.created_at, o.expires_at, o.confirmed_at, o.cancelled_at,
       clock_timestamp() AS now,
       (SELECT json_agg(json_build_array(l.tier_id, l.tier_name, l.quantity, l.unit_price_minor)
                        ORDER BY l.position) FROM order_lines l WHERE l.order_id = o.id)::text AS lines,
       (SELECT json_agg(json_build_array(t.ticket_id, t.tier, t.section, t.row, t.seat, t.code)
                        ORDER BY t.position) FROM order_tickets t WHERE t.order_id = o.id)::text AS tickets,
       (SELECT json_agg(json_build_array(e.event, e.at) ORDER BY e.id)
          FROM order_events e WHERE e.order_id = o.id)::text AS timeline
  FROM orders o
"""

_INSERT: Final = """
WITH placed AS (
    INSERT INTO orders (id, number, user_id, email, name, status, concert_id, concert, total_minor, currency,
                        created_at, expires_at)
    SELECT $1, $2, $3, $4, $5, 'PENDING', $6, $7::text::jsonb, $8, $9, t, t + make_interval(secs => $10)
      FROM (SELECT clock_timestamp() AS t) clock
    ON CONFLICT (number) DO NOTHING RETURNING id, created_at, expires_at
), lines AS (
    INSERT INTO order_lines (order_id, position, tier_id, tier_name, quantity, unit_price_minor)
    SELECT placed.id, line.place, line.tier_id, line.tier_name, line.quantity, line.price
      FROM placed, unnest($11::text[], $12::text[], $13::smallint[], $14::bigint[])
           WITH ORDINALITY AS line (tier_id, tier_name, quantity, price, place)
), tickets AS (
    INSERT INTO order_tickets (order_id, position, ticket_id, tier, section, row, seat, code)
    SELECT placed.id, held.place, held.ticket_id, held.tier, held.section, held.seat_row, held.seat, held.code
      FROM placed, unnest($15::text[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[])
           WITH ORDINALITY AS held (ticket_id, tier, section, seat_row, seat, code, place)
), step AS (
    INSERT INTO order_events (order_id, status, event, trace_id, at)
    SELECT id, 'PENDING', 'placed', $21, created_at FROM placed
)
SELECT created_at, expires_at FROM placed
"""
_CONCERT: Final = tuple(each.name for each in fields(Concert))
_TICKET: Final = ("id", "tier", "section", "row", "seat", "code")


@dataclass(frozen=True, slots=True)
class Locked:
    """An order whose row is locked by this transaction, and the database's time of that moment."""

    order: Order
    now: datetime


async def select_order(db: Database, order_id: UUID, user_id: str | None = None) -> Order | None:
    """The order, if it exists and, where `user_id` is given, is theirs."""
    row = await db.fetch_one(_ORDER + "WHERE o.id = $1 AND ($2::text IS NULL OR o.user_id = $2)", order_id, user_id)
    return _order(row) if row else None


async def select_orders(db: Database, user_id: str, limit: int, before: tuple[datetime, UUID] | None) -> list[Order]:
    """A buyer's orders, newest first; those after the one with the creation time and id `before`."""
    at, last_id = before or (None, None)
    rows = await db.fetch(
        _ORDER + "WHERE o.user_id = $1 AND ($2::timestamptz IS NULL OR (o.created_at, o.id) < ($2, $3::uuid))"
        " ORDER BY o.created_at DESC, o.id DESC LIMIT $4",
        user_id,
        at,
        last_id,
        limit,
    )
    return [_order(row) for row in rows]


async def lock_order(db: Database, order_id: UUID, user_id: str | None = None) -> Locked | None:
    """The order, its row locked until the transaction ends. Locked first, read then: it is the newest state."""
    found = await db.fetch(
        "SELECT 1 FROM orders WHERE id = $1 AND ($2::text IS NULL OR user_id = $2) FOR UPDATE",
        order_id,
        user_id,
    )
    return await read_locked(db, order_id) if found else None


async def lock_expired(db: Database, grace_s: float, skip: Sequence[UUID] = ()) -> UUID | None:
    """Locks one pending order whose hold ended `grace_s` ago and that nobody is paying; its id, or None.

    Passes over those in `skip`, and those that another transaction has locked: it is dealing with them.
    """
    found = await db.fetch_one(
        "SELECT o.id FROM orders o WHERE o.status = 'PENDING'"
        " AND o.expires_at < clock_timestamp() - make_interval(secs => $1)"
        " AND NOT EXISTS (SELECT 1 FROM payments p"
        " WHERE p.order_id = o.id AND p.state IN ('started', 'unclear'))"
        " AND o.id <> ALL($2::uuid[])"
        " ORDER BY o.expires_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        float(grace_s),
        list(skip),
    )
    return found["id"] if found else None


async def read_locked(db: Database, order_id: UUID) -> Locked:
    """The order, whose row this transaction has locked already."""
    rows = await db.fetch(_ORDER + "WHERE o.id = $1", order_id)
    return Locked(_order(rows[0]), rows[0]["now"])


async def insert_order(
    db: Database, order_id: UUID, buyer: Buyer, hold: Hold, *, number: str, total_minor: int
) -> tuple[datetime, datetime] | None:
    """Writes a pending order with its lines, tickets and first step, in one statement: it is the hottest.

    Returns its creation time and its hold's end, or None where `number` is taken. Raises IntegrityError
    where the order exists already.
    """
    row = await db.fetch_one(
        _INSERT,
        order_id,
        number,
        buyer.id,
        buyer.email,
        buyer.name,
        hold.concert.id,
        json.dumps(_concert_json(hold.concert)),
        total_minor,
        hold.currency,
        hold.time_left_s,
        *_columns(hold.lines, "tier_id", "tier_name", "quantity", "unit_price_minor"),
        *_columns(hold.tickets, *_TICKET),
        current_trace_id(),
    )
    return (row["created_at"], row["expires_at"]) if row else None


async def update_confirmed(db: Database, order: Order) -> None:
    """Saves a confirmed order; its tickets take the places of those held: a second hold may have others."""
    await db.execute(
        "WITH paid AS (UPDATE orders SET status = $2, confirmed_at = $3 WHERE id = $1 RETURNING id)"
        " UPDATE order_tickets t SET ticket_id = sold.ticket_id, tier = sold.tier, section = sold.section,"
        " row = sold.seat_row, seat = sold.seat, code = sold.code"
        " FROM paid, unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])"
        " WITH ORDINALITY AS sold (ticket_id, tier, section, seat_row, seat, code, place)"
        " WHERE t.order_id = paid.id AND t.position = sold.place",
        order.id,
        order.status,
        order.confirmed_at,
        *_columns(order.tickets, *_TICKET),
    )


async def update_cancelled(db: Database, order: Order, lease_s: float) -> None:
    """Saves a cancelled order, and that its tickets have to be freed: by us within `lease_s`, else by recovery."""
    await db.execute(
        "UPDATE orders SET status = $2, cancel_reason = $3, cancelled_at = $4,"
        " release_at = clock_timestamp() + make_interval(secs => $5) WHERE id = $1",
        order.id,
        order.status,
        order.cancel_reason,
        order.cancelled_at,
        float(lease_s),
    )
    await db.execute("UPDATE order_tickets SET code = NULL WHERE order_id = $1", order.id)


async def insert_step(db: Database, order: Order, step: Step, at: datetime | None = None) -> None:
    """Adds to the order's timeline what happened at the time `at`, or now, with the id of the current trace."""
    await db.execute(
        "INSERT INTO order_events (order_id, status, event, trace_id, at)"
        " VALUES ($1, $2, $3, $4, coalesce($5, clock_timestamp()))",
        order.id,
        order.status,
        step,
        current_trace_id(),
        at,
    )


async def schedule_release(db: Database, order_id: UUID) -> None:
    """Has recovery free the order's tickets in the catalog, soon."""
    await db.execute("UPDATE orders SET release_at = clock_timestamp() WHERE id = $1", order_id)


async def claim_releases(db: Database, limit: int, lease_s: float) -> list[tuple[UUID, datetime]]:
    """Orders whose tickets are to be freed, ours for `lease_s` seconds, each with the mark of this claim."""
    rows = await db.fetch(
        "UPDATE orders SET release_at = clock_timestamp() + make_interval(secs => $2) WHERE id IN"
        " (SELECT id FROM orders WHERE release_at <= clock_timestamp() ORDER BY release_at LIMIT $1"
        " FOR UPDATE SKIP LOCKED) RETURNING id, release_at",
        limit,
        float(lease_s),
    )
    return [(row["id"], row["release_at"]) for row in rows]


async def select_release(db: Database, order_id: UUID) -> datetime | None:
    """The mark of the current claim to free the order's tickets, if they have to be freed."""
    row = await db.fetch_one("SELECT release_at FROM orders WHERE id = $1", order_id)
    return row["release_at"] if row else None


async def finish_release(db: Database, order_id: UUID, claim: datetime) -> bool:
    """Notes that the tickets are free; False where somebody has asked for it anew in the meantime."""
    return (
        await db.execute("UPDATE orders SET release_at = NULL WHERE id = $1 AND release_at = $2", order_id, claim) == 1
    )


def _columns(things: Sequence[Any], *names: str) -> list[list[Any]]:
    """One list for each attribute, as `unnest` takes them."""
    return [[getattr(thing, name) for thing in things] for name in names]


def _order(row: dict[str, Any]) -> Order:
    return Order(
        id=row["id"],
        number=row["number"],
        buyer=Buyer(row["user_id"], row["email"], row["name"]),
        concert=_concert(json.loads(row["concert"])),
        lines=tuple(Line(*parts) for parts in _array(row["lines"])),
        tickets=tuple(Ticket(*parts) for parts in _array(row["tickets"])),
        total_minor=row["total_minor"],
        currency=row["currency"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=Status(row["status"]),
        cancel_reason=CancelReason(row["cancel_reason"]) if row["cancel_reason"] else None,
        confirmed_at=row["confirmed_at"],
        cancelled_at=row["cancelled_at"],
        timeline=tuple(Entry(event, datetime.fromisoformat(at)) for event, at in _array(row["timeline"])),
    )


def _array(text: str | None) -> list[list[Any]]:
    return json.loads(text) if text else []


def _concert_json(concert: Concert) -> dict[str, Any]:
    return {
        "id": concert.id,
        "title": concert.title,
        "artist": concert.artist,
        "slug": concert.slug,
        "starts_at": concert.starts_at.isoformat(),
        "doors_at": concert.doors_at and concert.doors_at.isoformat(),
        "time_zone": concert.time_zone,
        "venue": concert.venue,
        "city": concert.city,
        "country": concert.country,
        "address": concert.address,
    }


def _concert(stored: dict[str, Any]) -> Concert:
    # Only what we know of: a newer release may have written more, and be rolled back.
    known = {name: stored[name] for name in _CONCERT}
    for name in ("starts_at", "doors_at"):
        known[name] = known[name] and datetime.fromisoformat(known[name])
    return Concert(**known)
