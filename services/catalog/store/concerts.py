"""Reads of what is on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from services.catalog.domain import Concert, Left, Seating, Tier, Venue
from services.catalog.search import ConcertQuery, Sort, like_pattern
from services.defaults.database import Database

_CONCERT: Final = """
SELECT c.id, c.slug, c.title, c.artist, c.genre, c.description, c.starts_at, c.doors_at, c.on_sale_at,
       c.title_key, c.sort_price_minor,
       v.id AS venue_id, v.name AS venue_name, v.city, v.country, v.address, v.time_zone
FROM concerts c JOIN venues v ON v.id = c.venue_id
"""

# Each of the two counts walks an index that holds nothing else.
_TIERS: Final = """
SELECT t.id, t.concert_id, t.name, t.price_minor, t.currency, t.seating, t.includes, t.capacity,
       (SELECT count(*) FROM tickets k
        WHERE k.tier_id = t.id AND k.sold_order_id IS NULL AND k.hold_order_id IS NULL)
     + (SELECT count(*) FROM tickets k
        WHERE k.tier_id = t.id AND k.hold_order_id IS NOT NULL AND k.hold_expires_at <= now()) AS available
FROM tiers t WHERE t.concert_id = ANY($1) ORDER BY t.concert_id, t.position
"""

_LEFT: Final = """
SELECT c.id, c.slug,
       (SELECT count(*) FROM tickets k JOIN tiers t ON t.id = k.tier_id
        WHERE t.concert_id = c.id AND k.sold_order_id IS NULL AND k.hold_order_id IS NULL)
     + (SELECT count(*) FROM tickets k JOIN tiers t ON t.id = k.tier_id
        WHERE t.concert_id = c.id AND k.hold_order_id IS NOT NULL AND k.hold_expires_at <= now()) AS tickets
FROM concerts c WHERE c.on_sale_at <= now() AND c.starts_at > now() ORDER BY c.starts_at LIMIT $1
"""

# Dates are those on the venue's wall.
_MATCHES: Final = """
WHERE c.starts_at > now()
  AND c.search_text LIKE ALL($1::text[])
  AND ($2 = '' OR v.city_key = $2)
  AND ($3 = '' OR c.genre_key = $3)
  AND ($4::date IS NULL OR (c.starts_at AT TIME ZONE v.time_zone)::date >= $4)
  AND ($5::date IS NULL OR (c.starts_at AT TIME ZONE v.time_zone)::date <= $5)
  AND (NOT $6 OR c.on_sale_at <= now() AND EXISTS (
        SELECT FROM tiers t WHERE t.concert_id = c.id AND (
            EXISTS (SELECT FROM tickets k
                    WHERE k.tier_id = t.id AND k.sold_order_id IS NULL AND k.hold_order_id IS NULL)
            OR EXISTS (SELECT FROM tickets k
                       WHERE k.tier_id = t.id AND k.hold_order_id IS NOT NULL AND k.hold_expires_at <= now()))))
"""

_ORDER: Final = {
    Sort.DATE: ("c.starts_at", "timestamptz"),
    Sort.PRICE: ("c.sort_price_minor", "bigint"),
    Sort.TITLE: ('c.title_key COLLATE "C"', "text"),
}


class Concerts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_concerts(self, query: ConcertQuery) -> tuple[list[Concert], int]:
        """The page's concerts and one more where there is a next page, and how many match over all pages.

        Only concerts that are still to come.
        """
        filters = _filters(query)
        total = await self._database.fetch_one(
            f"SELECT count(*) AS n FROM concerts c JOIN venues v ON v.id = c.venue_id {_MATCHES}",  # noqa: S608 - of constants
            *filters,
        )
        column, kind = _ORDER[query.sort]
        after = query.after
        rows = await self._database.fetch(
            f"""{_CONCERT} {_MATCHES}
                AND ($7::{kind} IS NULL OR ({column}, c.id) > ($7, $8::uuid))
                ORDER BY {column}, c.id LIMIT $9""",
            *filters,
            after.value if after else None,
            after.id if after else None,
            query.page_size + 1,
        )
        return await self._with_tiers(rows), int(total["n"]) if total else 0

    async def get_concert(self, name: UUID | str) -> Concert | None:
        """One concert by its id or its slug, past ones too."""
        where = "c.id = $1" if isinstance(name, UUID) else "c.slug = $1"
        concerts = await self._with_tiers(await self._database.fetch(f"{_CONCERT} WHERE {where}", name))
        return concerts[0] if concerts else None

    async def get_concerts(self, ids: Sequence[UUID]) -> list[Concert]:
        """Those of the concerts that exist, in no particular order."""
        return await self._with_tiers(await self._database.fetch(f"{_CONCERT} WHERE c.id = ANY($1)", ids))

    async def count_active_holds(self) -> int:
        row = await self._database.fetch_one(
            "SELECT count(*) AS n FROM holds WHERE state = 'HELD' AND expires_at > now()"
        )
        return int(row["n"]) if row else 0

    async def count_left(self, limit: int) -> list[Left]:
        """What can be held of the concerts on sale, the `limit` soonest."""
        rows = await self._database.fetch(_LEFT, limit)
        return [Left(row["id"], row["slug"], row["tickets"]) for row in rows]

    async def _with_tiers(self, rows: Sequence[dict[str, Any]]) -> list[Concert]:
        tiers: dict[UUID, list[Tier]] = {row["id"]: [] for row in rows}
        for row in await self._database.fetch(_TIERS, list(tiers)) if tiers else []:
            tiers[row["concert_id"]].append(_tier(row))
        return [_concert(row, tiers[row["id"]]) for row in rows]


def _filters(query: ConcertQuery) -> tuple[Any, ...]:
    return (
        [like_pattern(term) for term in query.terms],
        query.city_key,
        query.genre_key,
        query.from_date,
        query.to_date,
        query.available_only,
    )


def _concert(row: dict[str, Any], tiers: Iterable[Tier]) -> Concert:
    return Concert(
        id=row["id"],
        slug=row["slug"],
        title=row["title"],
        artist=row["artist"],
        genre=row["genre"],
        description=row["description"],
        starts_at=row["starts_at"],
        doors_at=row["doors_at"],
        on_sale_at=row["on_sale_at"],
        title_key=row["title_key"],
        sort_price_minor=row["sort_price_minor"],
        venue=Venue(
            id=row["venue_id"],
            name=row["venue_name"],
            city=row["city"],
            country=row["country"],
            address=row["address"],
            time_zone=row["time_zone"],
        ),
        tiers=tuple(tiers),
    )


def _tier(row: dict[str, Any]) -> Tier:
    return Tier(**{**row, "seating": Seating(row["seating"])})
