"""A catalog that speaks gRPC and knows one concert, with as many tickets as anybody wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.health.service import Health
from grpclib.server import Server

from protos import catalog_pb2 as pb
from protos.catalog_grpc import CatalogBase
from services.defaults.errors import AppError, NotFound
from services.defaults.grpc_errors import to_grpc_error
from tests.ordering.support import CONCERT_ID, PRICES, SEATED

STARTS_AT = datetime(2040, 5, 17, 19, 30, tzinfo=UTC)


class CatalogServer(CatalogBase):
    """`refusal`, where set, is what every call ends with. `tokens` are those it was called with."""

    def __init__(self) -> None:
        self.refusal: AppError | None = None
        self.tokens: list[str] = []
        self.holds: dict[str, pb.Hold] = {}

    async def HoldTickets(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        request = await self._take(stream)
        if request.concert_id != CONCERT_ID or any(line.tier_id not in PRICES for line in request.lines):
            raise to_grpc_error(NotFound("There is no such concert."))
        hold = self.holds.setdefault(request.order_id, _hold(request))
        await stream.send_message(pb.HoldTicketsResponse(hold=hold, concert=_concert()))

    async def ConfirmHold(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        request = await self._take(stream)
        if request.order_id not in self.holds:
            raise to_grpc_error(NotFound("There is no hold for this order."))
        hold = self.holds[request.order_id]
        for ticket in hold.tickets:
            ticket.code = f"code-{ticket.id}"
        await stream.send_message(pb.ConfirmHoldResponse(hold=hold))

    async def ReleaseHold(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        request = await self._take(stream)
        released = len(self.holds.pop(request.order_id, pb.Hold()).tickets)
        await stream.send_message(pb.ReleaseHoldResponse(released=released))

    async def ListConcerts(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        """Ordering has no use for it."""

    async def GetConcert(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        """Ordering has no use for it."""

    async def BatchGetConcerts(self, stream: Any) -> None:  # noqa: N802 - the proto names it
        """Ordering has no use for it."""

    async def _take(self, stream: Any) -> Any:
        self.tokens.append(str(stream.metadata.get("authorization", "")).removeprefix("Bearer "))
        request = await stream.recv_message()
        if self.refusal:
            raise to_grpc_error(self.refusal)
        return request


@asynccontextmanager
async def served(catalog: CatalogServer, port: int) -> AsyncIterator[None]:
    server = Server([catalog, Health()])
    await server.start("127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def served_in_a_thread(catalog: CatalogServer, port: int) -> Iterator[None]:
    """For tests that are not asynchronous themselves."""
    loop, ready, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with served(catalog, port):
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def _hold(request: Any) -> pb.Hold:
    tickets = [
        pb.Ticket(
            id=f"{line.tier_id[:4]}-{number}",
            tier_id=line.tier_id,
            tier_name=PRICES[line.tier_id][0],
            section="A" if line.tier_id == SEATED else "",
            price=pb.Money(amount_minor=PRICES[line.tier_id][1], currency="EUR"),
        )
        for line in request.lines
        for number in range(line.quantity)
    ]
    return pb.Hold(
        order_id=request.order_id,
        concert_id=request.concert_id,
        state=pb.HOLD_STATE_HELD,
        tickets=[pb.Ticket.FromString(ticket.SerializeToString()) for ticket in tickets],
        time_left=request.ttl,
    )


def _concert() -> pb.Concert:
    starts_at = Timestamp()
    starts_at.FromDatetime(STARTS_AT)
    venue = pb.Venue(id="v-1", name="Old Depot", city="Vienna", country="AT", address="Gleis 1")
    return pb.Concert(
        id=CONCERT_ID,
        slug="night-trains",
        title="Night Trains",
        artist="The Sleepers",
        starts_at=starts_at,
        time_zone="Europe/Vienna",
        venue=venue,
    )
