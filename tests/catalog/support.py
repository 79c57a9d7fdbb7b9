"""Concerts for the tests, put up for sale as the seeds are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from services.catalog.domain import HoldRequest, hold_request, ticket_code
from services.catalog.store.stock import NewConcert, NewTicket, NewTier, NewVenue, Stock
from services.defaults.database import Database

TTL_S = 600.0
VENUE = NewVenue(uuid4(), "Haus der Klänge", "Zürich", "CH", "Am See 1", "Europe/Zurich")


def general(quantity: int, *, price_minor: int = 2500, sold: int = 0) -> NewTier:
    """A tier to stand in; the first `sold` of its tickets are sold already."""
    tickets = [NewTicket(position) for position in range(1, quantity + 1)]
    return _tier("Standing", price_minor, _sell(tickets, sold))


def seated(*rows: int, price_minor: int = 5000) -> NewTier:
    """A tier with one row for each number, of so many seats."""
    tickets: list[NewTicket] = []
    position = 0
    for row, seats in enumerate(rows, start=1):
        position += 1
        for seat in range(1, seats + 1):
            position += 1
            tickets.append(NewTicket(position, "Stalls", str(row), str(seat)))
    return _tier("Stalls", price_minor, tickets)


def a_concert(*tiers: NewTier, **changes: Any) -> NewConcert:
    now = datetime.now(UTC)
    concert = NewConcert(
        id=uuid4(),
        venue=VENUE,
        slug=f"concert-{secrets.token_hex(6)}",
        title="Last Boat Home",
        artist="The Night Ferries",
        genre="Rock",
        description="Four friends from a ferry port.",
        starts_at=now + timedelta(days=30),
        doors_at=now + timedelta(days=30, hours=-1),
        on_sale_at=now - timedelta(days=1),
        sort_price_minor=2500,
        tiers=tiers or [general(10)],
        box_office_order_id=uuid4(),
    )
    return replace(concert, **changes)


async def publish(database: Database, concert: NewConcert) -> NewConcert:
    stock = Stock(database)
    await stock.add_venues([concert.venue])
    assert await stock.add_concert(concert)
    return concert


def a_request(concert: NewConcert, *quantities: int, order_id: UUID | None = None, ttl_s: float = TTL_S) -> HoldRequest:
    """So many tickets of each of the concert's tiers, in their order."""
    lines = [(tier.id, quantity) for tier, quantity in zip(concert.tiers, quantities, strict=False) if quantity]
    return hold_request(order_id or uuid4(), concert.id, lines, ttl_s)


async def lapse(database: Database, order_id: UUID) -> None:
    """Lets the order's lease end, by the database's clock."""
    for table, column, owner in (
        ("holds", "expires_at", "order_id"),
        ("tickets", "hold_expires_at", "hold_order_id"),
    ):
        await database.execute(
            f"UPDATE {table} SET {column} = now() - interval '1 second' WHERE {owner} = $1", order_id
        )


@dataclass(frozen=True)
class Ledger:
    """The tickets of one concert by state: together they are all of them."""

    free: int
    held: int
    sold: int


async def ledger(database: Database, concert: NewConcert) -> Ledger:
    row = await database.fetch_one(
        """
        SELECT count(*) FILTER (WHERE sold_order_id IS NULL
                                  AND (hold_order_id IS NULL OR hold_expires_at <= now())) AS free,
               count(*) FILTER (WHERE hold_expires_at > now()) AS held,
               count(*) FILTER (WHERE sold_order_id IS NOT NULL) AS sold
        FROM tickets WHERE tier_id = ANY($1)
        """,
        [tier.id for tier in concert.tiers],
    )
    assert row
    return Ledger(**row)


def _tier(name: str, price_minor: int, tickets: Sequence[NewTicket]) -> NewTier:
    return NewTier(uuid4(), name, price_minor, "CHF", "A good evening.", tickets)


def _sell(tickets: Sequence[NewTicket], sold: int) -> list[NewTicket]:
    return [
        replace(ticket, code=ticket_code(secrets.token_bytes(16))) if number < sold else ticket
        for number, ticket in enumerate(tickets)
    ]
