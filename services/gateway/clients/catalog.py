"""The catalog over gRPC (protos/catalog.proto)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from protos import catalog_pb2 as pb
from services.defaults.errors import Invalid, NotFound
from services.gateway.clients import ConcertSearch, Node
from services.gateway.clients.transport import GrpcCalls

_SORT: Final = {
    "DATE": pb.CONCERT_SORT_DATE,
    "PRICE": pb.CONCERT_SORT_PRICE,
    "TITLE": pb.CONCERT_SORT_TITLE,
}
# The catalog's names of what can be wrong with a search, as GraphQL spells them.
_ARGUMENT: Final = {"page_size": "first", "page_token": "after", "from_date": "from", "to_date": "to"}
_SEATING: Final = {pb.SEATING_GENERAL: "GENERAL", pb.SEATING_SEATED: "SEATED"}


class GrpcCatalog:
    """`clients.Catalog` over the wire."""

    def __init__(self, calls: GrpcCalls) -> None:
        self._calls = calls

    async def ping(self) -> None:
        """Raises where the catalog does not answer."""
        await self._calls.call("ListConcerts", pb.ListConcertsRequest(page_size=1))

    async def list_concerts(self, search: ConcertSearch) -> Node:
        try:
            return to_connection(await self._calls.call("ListConcerts", to_list_request(search)))
        except Invalid as error:
            error.fields = {_ARGUMENT.get(name, name): text for name, text in error.fields.items()}
            raise

    async def get_concert(self, *, concert_id: str = "", slug: str = "") -> Node | None:
        if concert_id and not _is_uuid(concert_id):
            return None  # to clients an id is opaque: one that cannot be is one that is not
        try:
            answer = await self._calls.call("GetConcert", pb.GetConcertRequest(id=concert_id, slug=slug))
        except NotFound:
            return None
        return to_concert(answer.concert)

    async def get_concerts(self, ids: Sequence[str]) -> dict[str, Node]:
        answer = await self._calls.call("BatchGetConcerts", pb.BatchGetConcertsRequest(ids=ids))
        return {concert.id: to_concert(concert) for concert in answer.concerts}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def to_list_request(search: ConcertSearch) -> pb.ListConcertsRequest:
    return pb.ListConcertsRequest(
        text=search.text,
        city=search.city,
        genre=search.genre,
        from_date=search.from_date.isoformat() if search.from_date else "",
        to_date=search.to_date.isoformat() if search.to_date else "",
        available_only=search.available_only,
        sort=_SORT[search.sort],
        page_size=search.first,
        page_token=search.after,
    )


def to_connection(answer: pb.ListConcertsResponse) -> Node:
    return {
        "nodes": [to_concert(concert) for concert in answer.concerts],
        "pageInfo": {
            "hasNextPage": answer.next_page_token != "",
            "endCursor": answer.next_page_token or None,
        },
        "totalCount": answer.total_count,
    }


def to_concert(concert: pb.Concert) -> Node:
    return {
        "id": concert.id,
        "slug": concert.slug,
        "title": concert.title,
        "artist": concert.artist,
        "genre": concert.genre,
        "description": concert.description,
        "startsAt": _to_moment(concert.starts_at),
        "doorsAt": _to_moment(concert.doors_at) if concert.HasField("doors_at") else None,
        "onSaleAt": _to_moment(concert.on_sale_at),
        "timeZone": concert.time_zone,
        "venue": _to_venue(concert.venue),
        "tiers": [_to_tier(tier) for tier in concert.tiers],
        "priceFrom": _to_money(concert.price_from),
        "available": concert.available,
    }


def _to_venue(venue: pb.Venue) -> Node:
    return {
        "id": venue.id,
        "name": venue.name,
        "city": venue.city,
        "country": venue.country,
        "address": venue.address or None,
    }


def _to_tier(tier: pb.Tier) -> Node:
    return {
        "id": tier.id,
        "name": tier.name,
        "includes": tier.includes or None,
        "price": _to_money(tier.price),
        "seating": _SEATING[tier.seating],
        "capacity": tier.capacity,
        "available": tier.available,
    }


def _to_money(money: pb.Money) -> Node:
    return {"amountMinor": money.amount_minor, "currency": money.currency}


def _to_moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
