"""The catalog as ordering needs it: hold, sell and free tickets; and the adapter over gRPC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from protos import catalog_pb2
from protos.catalog_grpc import CatalogStub
from services.defaults.auth import SERVICE_TOKEN_TYPE, ServiceToken, TokenIssuer
from services.defaults.errors import Forbidden, RateLimited, Unauthorized, Unavailable
from services.defaults.resilience import GrpcClient
from services.ordering.domain import Concert, Hold, Line, Ticket, Wanted

PING_TIMEOUT_S: Final = 0.9  # within the second that a health check has
TOKEN_S: Final = 360  # half of it, after which it is renewed, is longer than clocks may be apart


class Catalog(Protocol):
    """Every call is idempotent by order id. All raise Unavailable where the catalog is away."""

    async def hold(self, order_id: UUID, concert_id: str, wanted: Sequence[Wanted], ttl_s: float) -> Hold:
        """Sets tickets aside for `ttl_s` seconds. Raises Conflict, NotFound or Invalid where it cannot."""

    async def confirm(self, order_id: UUID) -> tuple[Ticket, ...]:
        """The tickets as sold, with their codes. Raises Conflict or NotFound where the hold is lost."""

    async def release(self, order_id: UUID) -> None:
        """Frees the order's tickets, held or sold."""


def service_token(secret: str, issuer: str) -> ServiceToken:
    """What we show the catalog, signed with the key that it shares with us."""
    tokens = TokenIssuer(secret=secret, issuer=issuer, audience="catalog", lifetime_s=TOKEN_S, typ=SERVICE_TOKEN_TYPE)
    return ServiceToken(tokens, "ordering")


class GrpcCatalog:
    """The catalog's gRPC service; `token` is what we show it with each call."""

    def __init__(
        self,
        client: GrpcClient[CatalogStub],
        health: GrpcClient[HealthStub],
        token: ServiceToken,
    ) -> None:
        self._client = client
        self._health = health
        self._token = token

    async def hold(self, order_id: UUID, concert_id: str, wanted: Sequence[Wanted], ttl_s: float) -> Hold:
        request = catalog_pb2.HoldTicketsRequest(
            order_id=str(order_id),
            concert_id=concert_id,
            lines=[catalog_pb2.HoldLine(tier_id=want.tier_id, quantity=want.quantity) for want in wanted],
            ttl=_duration(ttl_s),
        )
        answer = await self._call("HoldTickets", request)
        return Hold(
            concert=_concert(answer.concert),
            lines=_lines(answer.hold.tickets),
            tickets=_tickets(answer.hold.tickets),
            currency=answer.hold.tickets[0].price.currency,
            time_left_s=answer.hold.time_left.ToTimedelta().total_seconds(),
        )

    async def confirm(self, order_id: UUID) -> tuple[Ticket, ...]:
        request = catalog_pb2.ConfirmHoldRequest(order_id=str(order_id))
        answer = await self._call("ConfirmHold", request)
        return _tickets(answer.hold.tickets)

    async def release(self, order_id: UUID) -> None:
        await self._call("ReleaseHold", catalog_pb2.ReleaseHoldRequest(order_id=str(order_id)))

    async def ping(self) -> None:
        """Raises Unavailable unless the catalog says that it is ready (grpc.health.v1)."""
        answer = await self._health.call("Check", HealthCheckRequest(), timeout_s=PING_TIMEOUT_S)
        if answer.status != HealthCheckResponse.SERVING:
            raise Unavailable("The catalog is not ready.")

    async def _call(self, method: str, request: Any) -> Any:
        try:
            return await self._client.call(method, request, token=self._token.current())
        except (Unauthorized, Forbidden, RateLimited) as error:
            # It refuses us, not the buyer, who can do nothing about it but come again.
            raise Unavailable("Tickets cannot be held right now. Try again in a moment.") from error


def _tickets(tickets: Sequence[catalog_pb2.Ticket]) -> tuple[Ticket, ...]:
    return tuple(
        Ticket(
            id=ticket.id,
            tier=ticket.tier_name,
            section=ticket.section or None,
            row=ticket.row or None,
            seat=ticket.seat or None,
            code=ticket.code or None,
        )
        for ticket in tickets
    )


def _lines(tickets: Sequence[catalog_pb2.Ticket]) -> tuple[Line, ...]:
    """One line for each tier, in the order in which the tiers come: what is held is what is charged."""
    counts: dict[str, int] = {}
    for ticket in tickets:
        counts[ticket.tier_id] = counts.get(ticket.tier_id, 0) + 1
    firsts = {ticket.tier_id: ticket for ticket in reversed(tickets)}
    return tuple(
        Line(tier, firsts[tier].tier_name, count, firsts[tier].price.amount_minor) for tier, count in counts.items()
    )


def _concert(concert: catalog_pb2.Concert) -> Concert:
    return Concert(
        id=concert.id,
        title=concert.title,
        artist=concert.artist,
        slug=concert.slug,
        starts_at=_moment(concert.starts_at),
        doors_at=_moment(concert.doors_at) if concert.HasField("doors_at") else None,
        time_zone=concert.time_zone,
        venue=concert.venue.name,
        city=concert.venue.city,
        country=concert.venue.country,
        address=concert.venue.address,
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _duration(seconds: float) -> Duration:
    fraction, whole = math.modf(seconds)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))
