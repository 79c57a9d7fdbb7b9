"""Many want the same: one click that came fifty times, and one ticket that is the last."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from services.apphost.rush.buyer import PLACE
from services.apphost.rush.gateway import Gateway, open_door
from services.apphost.rush.stage import Concert
from tests.faults.desk import Desk
from tests.faults.till import insist

pytestmark = pytest.mark.faults

CLICKS = 50
ANSWERED_S = 10.0


async def test_a_click_that_comes_fifty_times_is_one_order_and_one_charge(desk: Desk) -> None:
    concert = await desk.publish(CLICKS)
    till = desk.till()
    placed = await asyncio.gather(*(insist(lambda: till.place(concert, key="one-click")) for _ in range(CLICKS)))
    order_ids = {desk.note(reply) for reply in placed}
    assert Counter(reply.status for reply in placed)[201] <= 1  # the others were told of the first's
    await check_one_order(desk, concert)
    (order_id,) = order_ids
    paid = await asyncio.gather(*(insist(lambda: till.pay(order_id, key="one-pay")) for _ in range(CLICKS)))
    assert {(reply.status, reply.body["status"]) for reply in paid} == {(200, "CONFIRMED")}
    assert [charge.status for charge in await desk.charges(order_id)] == ["succeeded"]
    await desk.close()


async def test_two_clicks_with_keys_of_their_own_are_two_orders(desk: Desk) -> None:
    """The positive control of the above: it is the key that makes them one."""
    concert = await desk.publish(2)
    for reply in await asyncio.gather(desk.till().place(concert), desk.till().place(concert)):
        desk.note(reply)
    with pytest.raises(AssertionError, match="2 orders"):
        await check_one_order(desk, concert)
    await desk.close()


@pytest.mark.parametrize("buyers", [60, pytest.param(500, marks=pytest.mark.slow)])
async def test_the_last_ticket_is_sold_once(desk: Desk, buyers: int) -> None:
    concert = await desk.publish(1)
    people = (desk.buyer, desk.rival)
    async with open_door(desk.system.urls["gateway"]) as send:
        gateway = Gateway(send, time.monotonic, at_once=buyers)
        began = time.monotonic()
        answers = await asyncio.gather(
            *(gateway.ask("place", PLACE, wish(concert), people[number % 2].token) for number in range(buyers))
        )
        took_s = time.monotonic() - began
    check_sold_once([answer.code for answer in answers])
    assert took_s < ANSWERED_S
    (winner,) = (number for number, answer in enumerate(answers) if not answer.code)
    order_id = str(answers[winner].data["id"])
    desk.note(await desk.till(rival=winner % 2 > 0).cancel(order_id))
    freed = await desk.till(rival=winner % 2 == 0).place(concert)  # sellable again at once
    assert freed.status == 201, freed
    desk.note(freed)
    await desk.close()


def wish(concert: Concert) -> dict[str, Any]:
    line = {"tierId": concert.tier_id, "quantity": 1}
    return {"input": {"concertId": concert.id, "lines": [line], "idempotencyKey": secrets.token_hex(8)}}


async def test_two_tickets_are_not_one(desk: Desk) -> None:
    """The positive control of the above: the check sees a second sale."""
    concert = await desk.publish(2)
    replies = await asyncio.gather(*(desk.till().place(concert) for _ in range(4)))
    with pytest.raises(AssertionError, match="'sold': 2"):
        check_sold_once([reply.code for reply in replies])
    for reply in replies:
        if reply.status == 201:
            desk.note(reply)
    await desk.close()


def check_sold_once(codes: Sequence[str]) -> None:
    """`codes` are of the refusals; none is a sale."""
    told = Counter(code or "sold" for code in codes)
    assert told == {"sold": 1, "SOLD_OUT": len(codes) - 1}, dict(told)


async def check_one_order(desk: Desk, concert: Concert) -> None:
    found = await desk.rows("ordering", "SELECT 1 FROM orders WHERE concert_id = $1", concert.id)
    assert len(found) == 1, f"{len(found)} orders"
