"""Holding, selling and freeing tickets: the three writes of the catalog, each safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from services.catalog import domain
from services.catalog.domain import Hold, HoldRequest, HoldState, Sale, Seating
from services.catalog.store.tickets import Tickets
from services.defaults.errors import Conflict, NotFound, Unavailable

MEETINGS: Final = 3  # how often copies of one request may cross before the last is told to come again


class Holds:
    """The life of an order's tickets.

    `entropy(n)` gives n random bytes that nobody can guess; ticket codes are made of them.
    """

    def __init__(self, tickets: Tickets, entropy: Callable[[int], bytes]) -> None:
        self._tickets = tickets
        self._entropy = entropy

    async def hold(self, request: HoldRequest) -> Hold:
        """All of the tickets asked for, or none.

        The same request again gives the same hold, with its lease renewed if that has lapsed. Raises
        `Conflict` (SOLD_OUT where tickets are missing), `Invalid`, `NotFound`.
        """
        for _ in range(MEETINGS):
            hold = await self._take(request) or await self._resume(request)
            if hold:
                return hold
        raise Unavailable("This order is being worked on. Please try again in a moment.", retry_after_s=1)

    async def confirm(self, order_id: UUID) -> Hold:
        """Sells the order what it holds, also after the lease if nobody else took any of it.

        Raises `NotFound` for an order without a hold, `Conflict` HOLD_LOST where tickets are gone.
        """
        async with self._tickets.transaction():
            hold = await self._tickets.lock_hold(order_id)
            if hold is None:
                raise NotFound("There is no hold for this order.")
            if hold.state is HoldState.CONFIRMED:
                return hold
            if hold.incomplete:
                raise domain.hold_lost()
            return await self._tickets.sell(hold, [self._new_code() for _ in hold.tickets])

    async def release(self, order_id: UUID) -> int:
        """Frees what the order holds or owns; how many tickets that were. Nothing to do is no error."""
        async with self._tickets.transaction():
            if await self._tickets.lock_hold(order_id) is None:
                return 0
            return await self._tickets.free(order_id)

    async def _take(self, request: HoldRequest) -> Hold | None:
        """A new hold; nothing where the order has one already.

        The quick look passes by what others have locked. Before the answer is "sold out" a second one waits
        for them, so that a neighbour who rolls back causes no false refusal. It is a transaction of its own:
        one that waits must not have locked tickets out of their order, or two could wait for each other.
        """
        try:
            return await self._take_once(request, waiting=False)
        except Conflict as refusal:
            if refusal.code != domain.SOLD_OUT:
                raise
        return await self._take_once(request, waiting=True)

    async def _take_once(self, request: HoldRequest, *, waiting: bool) -> Hold | None:
        async with self._tickets.transaction():
            hold = await self._tickets.open_hold(request)
            if hold is None:
                return None
            sale = await self._tickets.select_sale(request.concert_id)
            if sale is None:
                raise NotFound("There is no such concert.")
            domain.check_sale(sale, request)
            ids: list[UUID] = []
            for tier_id, quantity in request.quantities.items():
                ids += await self._claim(sale, tier_id, quantity, waiting=waiting)
            return await self._tickets.hold(hold, ids)

    async def _claim(self, sale: Sale, tier_id: UUID, quantity: int, *, waiting: bool) -> list[UUID]:
        claim = self._tickets.claim_waiting if waiting else self._tickets.claim
        claimed = await claim(tier_id, quantity)
        if len(claimed) < quantity:
            raise domain.sold_out(sale.names[tier_id])
        apart = sale.seating[tier_id] is Seating.SEATED and not domain.adjacent(list(claimed))
        better = await self._claim_together(tier_id, quantity) if apart and not waiting else []
        return better or list(claimed.values())

    async def _claim_together(self, tier_id: UUID, quantity: int) -> list[UUID]:
        """Seats closer together than the first free ones; none where somebody else is just taking them."""
        free = await self._tickets.select_free(tier_id)
        ids = [free[position] for position in domain.choose_seats(list(free), quantity)]
        claimed = await self._tickets.claim_these(ids)
        return ids if len(claimed) == quantity else []

    async def _resume(self, request: HoldRequest) -> Hold | None:
        """The hold that the order has; nothing where its tickets are lost, and it may claim anew."""
        async with self._tickets.transaction():
            hold = await self._tickets.lock_hold(request.order_id)
            if hold is None:
                return None
            domain.check_same_request(hold, request)
            if hold.state is HoldState.CONFIRMED or not (hold.lapsed or hold.incomplete):
                return hold
            if hold.incomplete:
                await self._tickets.free(request.order_id)
                return None
            return await self._tickets.extend(hold, request.ttl_s)

    def _new_code(self) -> str:
        return domain.ticket_code(self._entropy(domain.CODE_BYTES))
