"""The payment provider answers late or twice, or the hold lapses meanwhile: no double charge, no lost money."""

from __future__ import annotations

import asyncio

import pytest

from services.apphost.rush.stage import Concert
from tests.faults.desk import Desk, holds_within
from tests.faults.instances import instance
from tests.faults.till import LATE, TWICE, insist

pytestmark = pytest.mark.faults

FOUND_OUT_S = 20.0


async def test_a_late_success_buys_the_tickets(desk: Desk) -> None:
    order_id = desk.note(await desk.till().place(await desk.publish(1)))
    unclear = await desk.till().pay(order_id, LATE, "late")
    assert (unclear.status, "Retry-After" in unclear.headers) == (503, True)
    other = await desk.till().pay(order_id, key="impatient")  # another attempt, while the first may yet succeed
    assert other.status == 409
    paid = await insist(lambda: desk.till().pay(order_id, LATE, "late"), FOUND_OUT_S)
    assert (paid.status, paid.body["status"]) == (200, "CONFIRMED")
    assert [charge.status for charge in await desk.charges(order_id)] == ["succeeded"]
    await desk.close()


async def test_an_answer_that_comes_twice_counts_once(desk: Desk) -> None:
    order_id = desk.note(await desk.till().place(await desk.publish(1)))
    paid = await desk.till().pay(order_id, TWICE)
    assert desk.note(paid) == order_id
    assert paid.body["status"] == "CONFIRMED"
    events = "SELECT 1 FROM outbox WHERE order_id = $1 AND type = 'order.confirmed.v1'"
    assert len(await desk.rows("ordering", events, order_id)) == 1
    assert [charge.status for charge in await desk.charges(order_id)] == ["succeeded"]
    await desk.close()


async def test_the_hold_lapses_while_paying(desk: Desk) -> None:
    """Late money buys the ticket if it is still there, and goes back if it is not."""
    kept, lost = await desk.publish(1), await desk.publish(1)
    async with instance(desk.system, "ordering", ORDERING_HOLD_TTL_S="2") as hasty:
        till = desk.till(hasty.url)
        order_ids = [desk.note(await till.place(concert)) for concert in (kept, lost)]
        replies = await asyncio.gather(*(till.pay(order_id, LATE) for order_id in order_ids))
        assert [reply.status for reply in replies] == [503, 503]
    await holds_within(lambda: is_taken(desk, lost), FOUND_OUT_S, "a lapsed hold is anybody's")

    async def have_ended() -> bool:
        return "PENDING" not in [(await desk.read(order_id))["status"] for order_id in order_ids]

    await holds_within(have_ended, FOUND_OUT_S, "both have an end")
    assert [(await desk.read(order_id))["status"] for order_id in order_ids] == ["CONFIRMED", "CANCELLED"]
    await desk.close()
    charges = [(await desk.charges(order_id))[0].status for order_id in order_ids]
    assert charges == ["succeeded", "refunded"]


async def is_taken(desk: Desk, concert: Concert) -> bool:
    reply = await desk.till(rival=True).place(concert)
    return reply.status == 201 and bool(desk.note(reply))
