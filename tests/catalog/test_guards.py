"""What the database itself refuses, whatever the code does."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from tortoise.exceptions import IntegrityError

from services.catalog.domain import Hold
from services.catalog.service import Holds
from services.catalog.store.stock import NewConcert
from services.catalog.store.tickets import Tickets
from services.defaults.database import Database
from tests.catalog.support import Ledger, a_concert, a_request, general, lapse, ledger, publish, seated

BUYERS = 5


class BlindTickets(Tickets):
    """Claims as naive code does, without a lock on what it has seen."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._everybody_has_looked = asyncio.Barrier(BUYERS)

    async def claim(self, tier_id: UUID, quantity: int) -> dict[int, UUID]:
        seen = list((await self.select_free(tier_id)).items())[:quantity]
        await self._everybody_has_looked.wait()
        return dict(seen)


async def claim_blindly(database: Database, concert: NewConcert) -> Counter[type]:
    """How naive buyers of one ticket fare, by the type of the result."""
    blind = Holds(BlindTickets(database), bytes)
    attempts = [blind.hold(a_request(concert, 1)) for _ in range(BUYERS)]
    return Counter(type(result) for result in await asyncio.gather(*attempts, return_exceptions=True))


async def test_code_without_locks_takes_nothing_that_another_holds(database: Database) -> None:
    concert = await publish(database, a_concert(general(1)))
    assert await claim_blindly(database, concert) == {Hold: 1, IntegrityError: BUYERS - 1}
    assert await ledger(database, concert) == Ledger(free=0, held=1, sold=0)


async def test_without_the_trigger_it_would(database: Database) -> None:
    """The control of the test above: all believe that the ticket is theirs."""
    concert = await publish(database, a_concert(general(1)))
    await database.execute("ALTER TABLE tickets DISABLE TRIGGER tickets_guard_lease")
    try:
        assert await claim_blindly(database, concert) == {Hold: BUYERS}
    finally:
        await database.execute("ALTER TABLE tickets ENABLE TRIGGER tickets_guard_lease")


async def a_sold_order(database: Database, holds: Holds) -> tuple[UUID, NewConcert]:
    concert = await publish(database, a_concert(general(2)))
    request = a_request(concert, 1)
    await holds.hold(request)
    await holds.confirm(request.order_id)
    return request.order_id, concert


@pytest.mark.parametrize(
    "wrong",
    [
        "sold_order_id = gen_random_uuid()",  # a second sale
        "sold_order_id = NULL, sold_at = NULL, code = NULL",  # freed without its order's release
        "sold_at = NULL",
        "code = NULL",
        "hold_order_id = gen_random_uuid(), hold_expires_at = now()",  # held while sold
    ],
)
async def test_a_sold_ticket_stays_sold(database: Database, holds: Holds, wrong: str) -> None:
    order_id, _ = await a_sold_order(database, holds)
    with pytest.raises(IntegrityError):
        await database.execute(f"UPDATE tickets SET {wrong} WHERE sold_order_id = $1", order_id)


async def test_only_the_holder_can_buy(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(1)))
    request = a_request(concert, 1)
    await holds.hold(request)
    sell = """
        UPDATE tickets SET sold_order_id = $1, sold_at = now(), code = 'x', hold_order_id = NULL,
               hold_expires_at = NULL WHERE tier_id = $2
    """
    with pytest.raises(IntegrityError):
        await database.execute(sell, uuid4(), concert.tiers[0].id)
    assert await database.execute(sell, request.order_id, concert.tiers[0].id) == 1


async def test_a_running_lease_is_not_taken(database: Database, holds: Holds) -> None:
    concert = await publish(database, a_concert(general(1)))
    request = a_request(concert, 1)
    await holds.hold(request)
    take = "UPDATE tickets SET hold_order_id = $1 WHERE hold_order_id = $2"
    with pytest.raises(IntegrityError):
        await database.execute(take, uuid4(), request.order_id)
    await lapse(database, request.order_id)
    assert await database.execute(take, uuid4(), request.order_id) == 1


async def test_one_code_opens_one_ticket_and_one_seat_is_one_ticket(database: Database, holds: Holds) -> None:
    order_id, _ = await a_sold_order(database, holds)
    concert = await publish(database, a_concert(seated(2)))
    double = """
        INSERT INTO tickets (id, tier_id, position, section, "row", seat, code, sold_order_id, sold_at)
        SELECT gen_random_uuid(), $1, 99, 'Stalls', '9', '9', code, sold_order_id, now()
        FROM tickets WHERE sold_order_id = $2
    """
    with pytest.raises(IntegrityError, match="code"):
        await database.execute(double, concert.tiers[0].id, order_id)
    with pytest.raises(IntegrityError, match="seat"):
        await database.execute(
            """
            INSERT INTO tickets (id, tier_id, position, section, "row", seat)
            SELECT gen_random_uuid(), tier_id, 99, section, "row", seat FROM tickets WHERE tier_id = $1 LIMIT 1
            """,
            concert.tiers[0].id,
        )
