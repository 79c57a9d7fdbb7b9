"""Holding, selling and freeing tickets, on a real Postgres and by its clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.catalog.domain import Hold, HoldState, adjacent
from services.catalog.service import Holds
from services.catalog.store.stock import NewConcert
from services.catalog.store.tickets import Tickets
from services.defaults.database import Database
from services.defaults.errors import AppError, Conflict, Invalid, NotFound
from tests.catalog.support import TTL_S, Ledger, a_concert, a_request, general, lapse, ledger, publish, seated


async def outcomes(attempts: Sequence[Awaitable[Hold]]) -> Counter[str]:
    """How many attempts ended how: the state of a hold, or an error's code."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    return Counter(_outcome(result) for result in results)


def _outcome(result: Hold | BaseException) -> str:
    if isinstance(result, Hold):
        return result.state
    if isinstance(result, AppError):
        return result.code
    raise result


def ids(hold: Hold) -> set[UUID]:
    return {ticket.id for ticket in hold.tickets}


# --- hold


async def test_a_hold_takes_tickets_of_several_tiers_for_its_lease(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5), seated(4)))
    hold = await holds.hold(a_request(concert, 2, 1))
    assert hold.state is HoldState.HELD
    assert sorted(ticket.tier_name for ticket in hold.tickets) == ["Stalls", "Standing", "Standing"]
    assert {ticket.code for ticket in hold.tickets} == {""}
    assert hold.time_left == timedelta(seconds=TTL_S)
    assert await ledger(database, concert) == Ledger(free=6, held=3, sold=0)


async def test_the_same_request_again_is_the_same_hold(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5)))
    request = a_request(concert, 2)
    first = await holds.hold(request)
    again = await holds.hold(replace(request, ttl_s=30))
    assert (ids(again), again.expires_at) == (ids(first), first.expires_at)
    assert await ledger(database, concert) == Ledger(free=3, held=2, sold=0)


async def test_many_copies_of_one_request_at_once_are_one_hold(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(30)))
    request = a_request(concert, 3)
    results = await asyncio.gather(*(holds.hold(request) for _ in range(12)))
    assert len({frozenset(ids(hold)) for hold in results}) == 1
    assert await ledger(database, concert) == Ledger(free=27, held=3, sold=0)


async def test_another_request_under_the_same_order_is_refused(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5)))
    request = a_request(concert, 2)
    await holds.hold(request)
    with pytest.raises(Conflict) as caught:
        await holds.hold(a_request(concert, 3, order_id=request.order_id))
    assert caught.value.code == "CONFLICT"
    assert await ledger(database, concert) == Ledger(free=3, held=2, sold=0)


async def test_all_or_nothing_over_the_tiers(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5), seated(2)))
    with pytest.raises(Conflict) as caught:
        await holds.hold(a_request(concert, 2, 3))
    assert caught.value.code == "SOLD_OUT"
    assert "Stalls" in caught.value.message
    assert await ledger(database, concert) == Ledger(free=7, held=0, sold=0)


@pytest.mark.parametrize(
    ("what", "from_now"), [("starts_at", timedelta(minutes=-1)), ("on_sale_at", timedelta(minutes=5))]
)
async def test_only_a_concert_on_sale_is_held(database: Database, holds: Holds, what: str, from_now: timedelta) -> None:
    concert = await publish(database, a_concert(**{what: datetime.now(UTC) + from_now}))
    with pytest.raises(Conflict) as caught:
        await holds.hold(a_request(concert, 1))
    assert caught.value.code == "CONFLICT"


async def test_unknown_concerts_and_tiers_of_others_are_refused(database: Database, holds: Holds) -> None:
    concert, other = await publish(database, a_concert()), await publish(database, a_concert())
    with pytest.raises(NotFound):
        await holds.hold(a_request(replace(concert, id=uuid4()), 1))
    with pytest.raises(Invalid):
        await holds.hold(a_request(replace(concert, tiers=other.tiers), 1))
    assert await database.fetch("SELECT FROM holds") == []


async def test_a_lapsed_lease_is_anybodys(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(2)))
    first, second = a_request(concert, 2), a_request(concert, 2)
    held = await holds.hold(first)
    assert await outcomes([holds.hold(second)]) == {"SOLD_OUT": 1}
    await lapse(database, first.order_id)
    assert ids(await holds.hold(second)) == ids(held)


async def test_an_order_renews_its_lapsed_hold(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(2)))
    request = a_request(concert, 2)
    first = await holds.hold(request)
    await lapse(database, request.order_id)
    again = await holds.hold(request)
    assert ids(again) == ids(first)
    assert again.time_left == timedelta(seconds=TTL_S)
    assert await ledger(database, concert) == Ledger(free=0, held=2, sold=0)


async def test_an_order_that_lost_tickets_claims_anew(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(3)))
    loser, winner = a_request(concert, 2), a_request(concert, 2)
    await holds.hold(loser)
    await lapse(database, loser.order_id)
    await holds.hold(winner)
    assert await outcomes([holds.hold(loser)]) == {"SOLD_OUT": 1}
    await holds.release(winner.order_id)
    assert len((await holds.hold(loser)).tickets) == 2
    assert await ledger(database, concert) == Ledger(free=1, held=2, sold=0)


async def test_a_released_order_may_hold_again(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(3)))
    request = a_request(concert, 2)
    await holds.hold(request)
    await holds.release(request.order_id)
    assert (await holds.hold(request)).state is HoldState.HELD
    assert await ledger(database, concert) == Ledger(free=1, held=2, sold=0)


# --- seats side by side


async def test_seats_of_one_order_are_side_by_side(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(seated(5, 5, 5)))
    for party in (2, 2, 4, 3):  # the last of the first row and all of the third stay over
        hold = await holds.hold(a_request(concert, party))
        assert len({ticket.row for ticket in hold.tickets}) == 1
        assert adjacent(sorted(int(ticket.seat) for ticket in hold.tickets))


async def test_a_party_is_split_before_it_is_refused(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(seated(2, 2)))
    assert len((await holds.hold(a_request(concert, 3))).tickets) == 3


async def test_parallel_parties_get_seats_of_their_own(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(seated(*[7] * 10)))
    results = await asyncio.gather(*(holds.hold(a_request(concert, 2)) for _ in range(30)))
    assert len({ticket.id for hold in results for ticket in hold.tickets}) == 60


# --- confirm


async def test_confirming_sells_with_codes_and_is_idempotent(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5)))
    request = a_request(concert, 3)
    held = await holds.hold(request)
    sold = await holds.confirm(request.order_id)
    assert sold.state is HoldState.CONFIRMED
    assert ids(sold) == ids(held)
    assert len({ticket.code for ticket in sold.tickets} - {""}) == 3
    assert (await holds.confirm(request.order_id)).tickets == sold.tickets
    assert (await holds.hold(request)).tickets == sold.tickets
    assert await ledger(database, concert) == Ledger(free=2, held=0, sold=3)


async def test_parallel_confirmations_agree(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5)))
    request = a_request(concert, 2)
    await holds.hold(request)
    results = await asyncio.gather(*(holds.confirm(request.order_id) for _ in range(6)))
    assert len({hold.tickets for hold in results}) == 1


async def test_a_lapsed_hold_is_confirmed_while_its_tickets_are_there(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(2)))
    request = a_request(concert, 2)
    await holds.hold(request)
    await lapse(database, request.order_id)
    assert (await holds.confirm(request.order_id)).state is HoldState.CONFIRMED


async def test_a_hold_with_a_lost_ticket_is_not_confirmed(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(3)))
    loser = a_request(concert, 2)
    await holds.hold(loser)
    await lapse(database, loser.order_id)
    await holds.hold(a_request(concert, 2))
    with pytest.raises(Conflict) as caught:
        await holds.confirm(loser.order_id)
    assert caught.value.code == "HOLD_LOST"
    assert (await ledger(database, concert)).sold == 0


async def test_a_released_or_unknown_hold_is_not_confirmed(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(3)))
    request = a_request(concert, 1)
    await holds.hold(request)
    await holds.release(request.order_id)
    with pytest.raises(Conflict) as caught:
        await holds.confirm(request.order_id)
    assert caught.value.code == "HOLD_LOST"
    with pytest.raises(NotFound):
        await holds.confirm(uuid4())


# --- release


async def test_releasing_frees_held_and_sold_tickets_once(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(5)))
    held, sold = a_request(concert, 2), a_request(concert, 3)
    await holds.hold(held)
    await holds.hold(sold)
    codes = {ticket.code for ticket in (await holds.confirm(sold.order_id)).tickets}
    assert [await holds.release(order.order_id) for order in (held, sold, held, sold)] == [2, 3, 0, 0]
    assert await holds.release(uuid4()) == 0
    assert await ledger(database, concert) == Ledger(free=5, held=0, sold=0)
    await holds.hold(sold)
    assert not codes & {ticket.code for ticket in (await holds.confirm(sold.order_id)).tickets}


async def test_releasing_spares_what_is_somebody_elses_by_now(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(2)))
    loser, winner = a_request(concert, 2), a_request(concert, 2)
    await holds.hold(loser)
    await lapse(database, loser.order_id)
    await holds.hold(winner)
    await holds.confirm(winner.order_id)
    assert await holds.release(loser.order_id) == 0
    assert await ledger(database, concert) == Ledger(free=0, held=0, sold=2)


# --- races


async def test_fifty_buyers_of_the_last_ticket(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(4, sold=3)))

    async def buy() -> Hold:
        request = a_request(concert, 1)
        await holds.hold(request)
        return await holds.confirm(request.order_id)

    assert await outcomes([buy() for _ in range(50)]) == {"CONFIRMED": 1, "SOLD_OUT": 49}
    assert await ledger(database, concert) == Ledger(free=0, held=0, sold=4)


async def test_parties_of_two_share_out_an_odd_number_without_a_deadlock(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(9), general(9)))
    result = await outcomes([holds.hold(a_request(concert, 2, 2)) for _ in range(20)])
    assert result == {"HELD": 4, "SOLD_OUT": 16}
    assert await ledger(database, concert) == Ledger(free=2, held=16, sold=0)


class NeighbourRollsBack:
    """Somebody else's transaction that has the concert's tickets locked until told to let go of them."""

    def __init__(self, database: Database, concert: NewConcert) -> None:
        self.locked = asyncio.Event()
        self.let_go = asyncio.Event()
        self._database = database
        self._tickets = Tickets(database)
        self._tier = concert.tiers[0]

    async def run(self) -> None:
        async with self._tickets.transaction():
            await self._tickets.claim(self._tier.id, len(self._tier.tickets))
            self.locked.set()
            await self.let_go.wait()

    async def let_go_when_waited_for(self) -> None:
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not await self._database.fetch(query):
            await asyncio.sleep(0.01)
        self.let_go.set()


async def test_a_neighbour_who_rolls_back_causes_no_false_refusal(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(1)))
    neighbour = NeighbourRollsBack(database, concert)
    async with asyncio.TaskGroup() as group:
        group.create_task(neighbour.run())
        await neighbour.locked.wait()
        group.create_task(neighbour.let_go_when_waited_for())
        assert (await holds.hold(a_request(concert, 1))).state is HoldState.HELD


async def test_the_quick_look_alone_would_have_refused(database: Database) -> None:
    """The control of the test above: this is why there is a second look."""
    concert = await publish(database, a_concert(general(1)))
    tickets, neighbour = Tickets(database), NeighbourRollsBack(database, concert)
    async with asyncio.TaskGroup() as group:
        group.create_task(neighbour.run())
        await neighbour.locked.wait()
        async with tickets.transaction():
            assert await tickets.claim(concert.tiers[0].id, 1) == {}
        neighbour.let_go.set()
