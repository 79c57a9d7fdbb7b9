"""Putting one concert up for sale from a JSON description.

Ids derive from the slug, so that publishing the same concert twice cannot make two.
"""

from __future__ import annotations

import json
from typing import Annotated, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from services.catalog.seed import EURO_RATES, seeded_id
from services.catalog.store.stock import NewConcert, NewTicket, NewTier, NewVenue, Stock
from services.defaults.errors import Conflict, Invalid

MAX_CAPACITY: Final = 1_000_000

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Description = Annotated[str, Field(max_length=5_000, pattern=r"^[^\x00]*$")]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no IANA time zone")
    return name


def _known_currency(code: str) -> str:
    if code not in EURO_RATES:
        raise ValueError(f"must be one of {', '.join(EURO_RATES)}")
    return code


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class VenueBody(_Body):
    name: Name
    city: Name
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]  # ISO 3166-1 alpha-2
    address: Name
    time_zone: Annotated[str, AfterValidator(_known_zone)]


class TierBody(_Body):
    """Admission is general: one stands, or takes any seat."""

    name: Name
    capacity: Annotated[int, Field(strict=True, ge=1, le=MAX_CAPACITY)]
    price_minor: Annotated[int, Field(strict=True, ge=0, le=10**9)]
    includes: Description = ""


class ConcertBody(_Body):
    slug: Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: Name
    artist: Name
    genre: Name
    description: Description
    starts_at: AwareDatetime
    doors_at: AwareDatetime | None = None
    on_sale_at: AwareDatetime
    currency: Annotated[str, AfterValidator(_known_currency)]
    venue: VenueBody
    tiers: Annotated[tuple[TierBody, ...], Field(min_length=1, max_length=20)]


async def publish(stock: Stock, description: bytes) -> str:
    """Adds the described concert; its ids, as JSON.

    Raises Invalid, naming every fault, and Conflict where there is a concert of that slug.
    """
    concert = read_description(description)
    await stock.add_venues([concert.venue])
    if not await stock.add_concert(concert):
        raise Conflict(f"There is a concert named {concert.slug} already.")
    tiers = [{"id": str(tier.id), "name": tier.name, "capacity": len(tier.tickets)} for tier in concert.tiers]
    return json.dumps({"id": str(concert.id), "slug": concert.slug, "tiers": tiers})


def read_description(description: bytes) -> NewConcert:
    """Raises Invalid, naming every fault."""
    try:
        body = ConcertBody.model_validate_json(description)
    except ValidationError as error:
        faults = {".".join(map(str, each["loc"])) or "description": each["msg"] for each in error.errors()}
        listed = "; ".join(f"{field}: {fault}" for field, fault in faults.items())
        raise Invalid(f"The description is not valid. {listed}", fields=faults) from None
    return _concert(body)


def _concert(body: ConcertBody) -> NewConcert:
    tiers = [_tier(body, position, tier) for position, tier in enumerate(body.tiers)]
    cheapest_minor = min(tier.price_minor for tier in tiers)
    return NewConcert(
        id=seeded_id("concert", body.slug),
        venue=_venue(body.venue),
        slug=body.slug,
        title=body.title,
        artist=body.artist,
        genre=body.genre,
        description=body.description,
        starts_at=body.starts_at,
        doors_at=body.doors_at,
        on_sale_at=body.on_sale_at,
        sort_price_minor=round(cheapest_minor * EURO_RATES[body.currency]),
        tiers=tiers,
        box_office_order_id=seeded_id("box-office", body.slug),
    )


def _venue(body: VenueBody) -> NewVenue:
    return NewVenue(
        id=seeded_id("venue", f"{body.name}, {body.city}"),
        name=body.name,
        city=body.city,
        country=body.country,
        address=body.address,
        time_zone=body.time_zone,
    )


def _tier(concert: ConcertBody, position: int, body: TierBody) -> NewTier:
    return NewTier(
        id=seeded_id("tier", f"{concert.slug}:{position}"),
        name=body.name,
        price_minor=body.price_minor,
        currency=concert.currency,
        includes=body.includes,
        tickets=[NewTicket(number) for number in range(1, body.capacity + 1)],
    )
