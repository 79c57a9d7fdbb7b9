"""Between protobuf and the domain: what came in is checked here, field by field, and answers are rendered."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos import catalog_pb2 as pb
from services.catalog.domain import (
    Concert,
    Hold,
    HoldRequest,
    HoldState,
    Seating,
    Ticket,
    Tier,
    Venue,
    hold_request,
)
from services.catalog.search import ConcertQuery, Sort, concert_query, page_token
from services.defaults.errors import Invalid

MAX_BATCH: Final = 100
MAX_SLUG_CHARS: Final = 100
UUID_CHARS: Final = 36

_SORTS: Final[Mapping[int, Sort]] = {
    pb.CONCERT_SORT_UNSPECIFIED: Sort.DATE,
    pb.CONCERT_SORT_DATE: Sort.DATE,
    pb.CONCERT_SORT_PRICE: Sort.PRICE,
    pb.CONCERT_SORT_TITLE: Sort.TITLE,
}
_SEATINGS: Final = {Seating.GENERAL: pb.SEATING_GENERAL, Seating.SEATED: pb.SEATING_SEATED}
_STATES: Final = {
    HoldState.HELD: pb.HOLD_STATE_HELD,
    HoldState.CONFIRMED: pb.HOLD_STATE_CONFIRMED,
    HoldState.RELEASED: pb.HOLD_STATE_RELEASED,
}


# --- what comes in: each raises `Invalid` naming the fields at fault


def to_query(request: pb.ListConcertsRequest) -> ConcertQuery:
    sort = _SORTS.get(request.sort)
    if sort is None:
        raise _invalid("sort", "Concerts can be sorted by date, price or title.")
    return concert_query(
        text=_line("text", request.text),
        city=_line("city", request.city),
        genre=_line("genre", request.genre),
        from_date=request.from_date,
        to_date=request.to_date,
        available_only=request.available_only,
        sort=sort,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def to_concert_name(request: pb.GetConcertRequest) -> UUID | str:
    """The concert's id, or its slug: exactly one of the two must be given."""
    if bool(request.id) == bool(request.slug):
        raise _invalid("id", "Name a concert by its id or by its slug.")
    if request.id:
        return to_uuid("id", request.id)
    if len(request.slug) > MAX_SLUG_CHARS:
        raise _invalid("slug", f"A slug has at most {MAX_SLUG_CHARS} characters.")
    return _line("slug", request.slug)


def to_concert_ids(request: pb.BatchGetConcertsRequest) -> list[UUID]:
    """The ids, each once."""
    if len(request.ids) > MAX_BATCH:
        raise _invalid("ids", f"At most {MAX_BATCH} concerts at once.")
    return list(dict.fromkeys(to_uuid("ids", text) for text in request.ids))


def to_hold_request(request: pb.HoldTicketsRequest) -> HoldRequest:
    return hold_request(
        to_uuid("order_id", request.order_id),
        to_uuid("concert_id", request.concert_id),
        [(to_uuid("lines", line.tier_id), line.quantity) for line in request.lines],
        request.ttl.seconds + request.ttl.nanos / 1e9,
    )


def to_uuid(field: str, text: str) -> UUID:
    if len(text) == UUID_CHARS:  # the class itself takes other spellings too
        with suppress(ValueError):  # told of below, like one of another length
            return UUID(text)
    raise _invalid(field, "This is not a UUID.")


def _line(field: str, text: str) -> str:
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise _invalid(field, "Control characters are not allowed.")
    return text


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid("The request is not valid.", fields={field: sentence})


# --- what goes out


def concert_page(query: ConcertQuery, concerts: Sequence[Concert], total_count: int) -> pb.ListConcertsResponse:
    """`concerts` are the page's, and one more where there is a next page."""
    page = concerts[: query.page_size]
    return pb.ListConcertsResponse(
        concerts=[concert_message(concert) for concert in page],
        next_page_token=page_token(query, page[-1]) if len(concerts) > len(page) else "",
        total_count=total_count,
    )


def concert_message(concert: Concert) -> pb.Concert:
    cheapest = concert.cheapest
    return pb.Concert(
        id=str(concert.id),
        slug=concert.slug,
        title=concert.title,
        artist=concert.artist,
        genre=concert.genre,
        description=concert.description,
        starts_at=_timestamp(concert.starts_at),
        doors_at=_timestamp(concert.doors_at) if concert.doors_at else None,
        on_sale_at=_timestamp(concert.on_sale_at),
        venue=_venue_message(concert.venue),
        tiers=[_tier_message(tier) for tier in concert.tiers],
        price_from=pb.Money(amount_minor=cheapest.price_minor, currency=cheapest.currency),
        available=concert.available,
        time_zone=concert.venue.time_zone,
    )


def hold_message(hold: Hold) -> pb.Hold:
    time_left = Duration()
    time_left.FromTimedelta(hold.time_left)
    return pb.Hold(
        order_id=str(hold.order_id),
        concert_id=str(hold.concert_id),
        state=_STATES[hold.state],
        expires_at=_timestamp(hold.expires_at),
        tickets=[_ticket_message(ticket) for ticket in hold.tickets],
        time_left=time_left,
    )


def _venue_message(venue: Venue) -> pb.Venue:
    return pb.Venue(id=str(venue.id), name=venue.name, city=venue.city, country=venue.country, address=venue.address)


def _tier_message(tier: Tier) -> pb.Tier:
    return pb.Tier(
        id=str(tier.id),
        name=tier.name,
        price=pb.Money(amount_minor=tier.price_minor, currency=tier.currency),
        seating=_SEATINGS[tier.seating],
        capacity=tier.capacity,
        available=tier.available,
        includes=tier.includes,
    )


def _ticket_message(ticket: Ticket) -> pb.Ticket:
    return pb.Ticket(
        id=str(ticket.id),
        tier_id=str(ticket.tier_id),
        tier_name=ticket.tier_name,
        section=ticket.section,
        row=ticket.row,
        seat=ticket.seat,
        code=ticket.code,
        price=pb.Money(amount_minor=ticket.price_minor, currency=ticket.currency),
    )


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
