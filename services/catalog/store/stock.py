"""Putting concerts up for sale: the rows of venues, concerts, tiers and tickets, and what a box office has sold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.catalog.domain import Seating
from services.catalog.search import fold
from services.defaults.database import Database


@dataclass(frozen=True, slots=True)
class NewVenue:
    id: UUID
    name: str
    city: str
    country: str  # ISO 3166-1 alpha-2
    address: str
    time_zone: str  # IANA name


@dataclass(frozen=True, slots=True)
class NewTicket:
    """`position` orders the tier; neighbours in a row differ by one, and rows are a gap apart.

    A ticket with a code is sold already. Its id derives from the tier's and the position.
    """

    position: int
    section: str = ""
    row: str = ""
    seat: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True)
class NewTier:
    id: UUID
    name: str
    price_minor: int
    currency: str  # ISO 4217
    includes: str
    tickets: Sequence[NewTicket]

    @property
    def seating(self) -> Seating:
        return Seating.SEATED if any(ticket.seat for ticket in self.tickets) else Seating.GENERAL


@dataclass(frozen=True, slots=True)
class NewConcert:
    """`sort_price_minor` is the lowest price in euro cents, for sorting only."""

    id: UUID
    venue: NewVenue
    slug: str
    title: str
    artist: str
    genre: str
    description: str
    starts_at: datetime
    doors_at: datetime | None
    on_sale_at: datetime
    sort_price_minor: int
    tiers: Sequence[NewTier]
    box_office_order_id: UUID  # owns the tickets that are sold already


class Stock:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_venues(self, venues: Sequence[NewVenue]) -> None:
        """Adds the venues that are not there; the others stay as they are."""
        for venue in venues:
            await self._database.execute(
                """
                INSERT INTO venues (id, name, city, city_key, country, address, time_zone)
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
                """,
                venue.id,
                venue.name,
                venue.city,
                fold(venue.city),
                venue.country,
                venue.address,
                venue.time_zone,
            )

    async def select_known(self, ids: Sequence[UUID]) -> set[UUID]:
        """Which of the concerts are there."""
        rows = await self._database.fetch("SELECT id FROM concerts WHERE id = ANY($1)", ids)
        return {row["id"] for row in rows}

    async def add_concert(self, concert: NewConcert) -> bool:
        """Adds the concert with all its tickets; one that is there, by id or slug, stays as it is."""
        async with self._database.transaction():
            if not await self._insert_concert(concert):
                return False
            for position, tier in enumerate(concert.tiers):
                await self._insert_tier(concert.id, position, tier)
                await self._insert_tickets(tier, concert.box_office_order_id)
            await self._insert_box_office(concert)
            return True

    async def settle(self) -> None:
        """Lets the planner know what many new rows look like."""
        await self._database.execute("VACUUM (ANALYZE) tickets")

    async def _insert_concert(self, concert: NewConcert) -> int:
        searched = (concert.title, concert.artist, concert.genre, concert.venue.name, concert.venue.city)
        return await self._database.execute(
            """
            INSERT INTO concerts (id, venue_id, slug, title, title_key, artist, genre, genre_key, description,
                                  search_text, starts_at, doors_at, on_sale_at, sort_price_minor)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING
            """,
            concert.id,
            concert.venue.id,
            concert.slug,
            concert.title,
            fold(concert.title),
            concert.artist,
            concert.genre,
            fold(concert.genre),
            concert.description,
            fold(" ".join(searched)),
            concert.starts_at,
            concert.doors_at,
            concert.on_sale_at,
            concert.sort_price_minor,
        )

    async def _insert_tier(self, concert_id: UUID, position: int, tier: NewTier) -> None:
        await self._database.execute(
            """
            INSERT INTO tiers (id, concert_id, name, price_minor, currency, seating, includes, position, capacity)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            tier.id,
            concert_id,
            tier.name,
            tier.price_minor,
            tier.currency,
            tier.seating,
            tier.includes,
            position,
            len(tier.tickets),
        )

    async def _insert_tickets(self, tier: NewTier, owner: UUID) -> None:
        await self._database.execute(
            """
            INSERT INTO tickets (tier_id, id, position, section, "row", seat, code, sold_order_id, sold_at)
            SELECT $1::uuid, md5($1::uuid || ':' || position)::uuid, position, section, "row", seat, code,
                   CASE WHEN code IS NOT NULL THEN $2::uuid END, CASE WHEN code IS NOT NULL THEN now() END
            FROM unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
                 AS ticket (position, section, "row", seat, code)
            """,
            tier.id,
            owner,
            [ticket.position for ticket in tier.tickets],
            [ticket.section for ticket in tier.tickets],
            [ticket.row for ticket in tier.tickets],
            [ticket.seat for ticket in tier.tickets],
            [ticket.code for ticket in tier.tickets],
        )

    async def _insert_box_office(self, concert: NewConcert) -> None:
        sold = sum(ticket.code is not None for tier in concert.tiers for ticket in tier.tickets)
        if not sold:
            return
        await self._database.execute(
            """
            INSERT INTO holds (order_id, concert_id, fingerprint, quantity, state, channel, expires_at, created_at)
            VALUES ($1, $2, '', $3, 'CONFIRMED', 'BOX_OFFICE', now(), now())
            """,
            concert.box_office_order_id,
            concert.id,
            sold,
        )
