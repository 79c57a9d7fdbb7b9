"""The catalog's gRPC edge: parse, call, render."""

# ruff: noqa: N802 - protos/catalog.proto names the methods

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError

from protos import catalog_pb2 as pb
from protos.catalog_grpc import CatalogBase
from services.catalog import wire
from services.catalog.cache import Cache, id_key, page_key, slug_key
from services.catalog.service import Holds
from services.catalog.store.concerts import Concerts
from services.defaults.auth import TokenVerifier
from services.defaults.errors import Invalid, NotFound
from services.defaults.grpc import service_principal
from services.defaults.telemetry import annotate

if TYPE_CHECKING:
    from grpclib.server import Stream

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


@dataclass(frozen=True)
class Deps:
    """`verifier` takes service tokens for the audience "catalog"."""

    concerts: Concerts
    holds: Holds
    cache: Cache
    verifier: TokenVerifier


def create_app(deps: Deps) -> Catalog:
    return Catalog(deps)


class Catalog(CatalogBase):
    """`ticketflow.catalog.v1.Catalog`, as protos/catalog.proto describes it."""

    def __init__(self, deps: Deps) -> None:
        self._concerts = deps.concerts
        self._holds = deps.holds
        self._cache = deps.cache
        self._verifier = deps.verifier

    async def ListConcerts(self, stream: Stream[pb.ListConcertsRequest, pb.ListConcertsResponse]) -> None:
        query = wire.to_query(await _receive(stream))

        async def load() -> bytes:
            concerts, total_count = await self._concerts.list_concerts(query)
            return wire.concert_page(query, concerts, total_count).SerializeToString()

        page = await self._cache.get_or_load(page_key(query), load)
        await stream.send_message(pb.ListConcertsResponse.FromString(page))

    async def GetConcert(self, stream: Stream[pb.GetConcertRequest, pb.GetConcertResponse]) -> None:
        name = wire.to_concert_name(await _receive(stream))
        await stream.send_message(pb.GetConcertResponse(concert=await self._read_concert(name)))

    async def BatchGetConcerts(self, stream: Stream[pb.BatchGetConcertsRequest, pb.BatchGetConcertsResponse]) -> None:
        ids = {id_key(id_): id_ for id_ in wire.to_concert_ids(await _receive(stream))}

        async def load(missing: Sequence[str]) -> Mapping[str, bytes]:
            concerts = await self._concerts.get_concerts([ids[key] for key in missing])
            return {id_key(it.id): wire.concert_message(it).SerializeToString() for it in concerts}

        found = await self._cache.get_or_load_many(list(ids), load) if ids else {}
        concerts = [pb.Concert.FromString(found[key]) for key in ids if key in found]
        await stream.send_message(pb.BatchGetConcertsResponse(concerts=concerts))

    async def HoldTickets(self, stream: Stream[pb.HoldTicketsRequest, pb.HoldTicketsResponse]) -> None:
        service_principal(stream, self._verifier)
        request = wire.to_hold_request(await _receive(stream))
        annotate(order_id=request.order_id, concert_id=request.concert_id)
        hold = await self._holds.hold(request)
        concert = await self._read_concert(request.concert_id)
        await stream.send_message(pb.HoldTicketsResponse(hold=wire.hold_message(hold), concert=concert))

    async def ConfirmHold(self, stream: Stream[pb.ConfirmHoldRequest, pb.ConfirmHoldResponse]) -> None:
        service_principal(stream, self._verifier)
        request = await _receive(stream)
        hold = await self._holds.confirm(_order_id(request))
        await stream.send_message(pb.ConfirmHoldResponse(hold=wire.hold_message(hold)))

    async def ReleaseHold(self, stream: Stream[pb.ReleaseHoldRequest, pb.ReleaseHoldResponse]) -> None:
        service_principal(stream, self._verifier)
        request = await _receive(stream)
        released = await self._holds.release(_order_id(request))
        await stream.send_message(pb.ReleaseHoldResponse(released=released))

    async def _read_concert(self, name: UUID | str) -> pb.Concert:
        async def load() -> bytes:
            concert = await self._concerts.get_concert(name)
            if concert is None:
                raise NotFound("There is no such concert.")
            return wire.concert_message(concert).SerializeToString()

        key = id_key(name) if isinstance(name, UUID) else slug_key(name)
        return pb.Concert.FromString(await self._cache.get_or_load(key, load))


def _order_id(request: pb.ConfirmHoldRequest | pb.ReleaseHoldRequest) -> UUID:
    """Which order it is about, told by the call's spans and log lines from here on. Raises `Invalid`."""
    order_id = wire.to_uuid("order_id", request.order_id)
    annotate(order_id=order_id)
    return order_id


async def _receive(stream: Stream[RequestT, ResponseT]) -> RequestT:
    try:
        request = await stream.recv_message()
    except DecodeError as error:
        raise Invalid("The message cannot be read.") from error
    if request is None:
        raise Invalid("The call came without a message.")
    return request
