"""A service whose clock is wrong: a hold lasts as long as the database says, and tokens still let in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.desk import Desk, holds_within
from tests.faults.instances import Instance, addresses, instance
from tests.faults.till import Reply

pytestmark = pytest.mark.faults

OFF_S = 90
HOLD_S = 20
SEVERAL_ROUNDS_S = 2.0  # of the recovery loop, which looks for lapsed holds five times a second


@pytest.mark.parametrize("clock_s", [OFF_S, -OFF_S])
async def test_ordering(desk: Desk, clock_s: int) -> None:
    concert = await desk.publish(1)
    async with instance(desk.system, "ordering", clock=f"{clock_s:+d}s", ORDERING_HOLD_TTL_S=str(HOLD_S)) as ordering:
        placed = await desk.till(ordering.url).place(concert)
        order_id = desk.note(placed)
        await check_the_clock(desk, ordering, clock_s)
        assert timedelta(seconds=HOLD_S - 5) < remaining(placed) <= timedelta(seconds=HOLD_S)
        await asyncio.sleep(SEVERAL_ROUNDS_S)
        assert (await desk.read(order_id))["status"] == "PENDING"  # it is not early, though that clock says it is late
        paid = await desk.till(ordering.url).pay(order_id)
        assert paid.body["status"] == "CONFIRMED", paid
        desk.note(paid)
    await desk.close()


@pytest.mark.parametrize("clock_s", [OFF_S, -OFF_S])
async def test_the_catalog(desk: Desk, clock_s: int) -> None:
    concert = await desk.publish(1)
    async with (
        instance(desk.system, "catalog", clock=f"{clock_s:+d}s") as catalog,
        instance(
            desk.system,
            "ordering",
            ORDERING_HOLD_TTL_S=str(HOLD_S),
            **addresses(desk.system, catalog=f"127.0.0.1:{catalog.port}"),
        ) as ordering,
    ):
        await check_the_clock(desk, catalog, clock_s)
        order_id = desk.note(await desk.till(ordering.url).place(concert))
        rival = await desk.till(ordering.url, rival=True).place(concert)
        assert rival.code == "SOLD_OUT", rival  # the first hold has not lapsed
        desk.note(await desk.till(ordering.url).pay(order_id))
        assert (await desk.read(order_id))["status"] == "CONFIRMED"
    await desk.close()


async def test_a_hold_does_lapse_whatever_the_clock_says(desk: Desk) -> None:
    """The control of the above: no order there waits for ever."""
    concert = await desk.publish(1)
    async with instance(desk.system, "ordering", clock=f"-{OFF_S}s", ORDERING_HOLD_TTL_S="3") as ordering:
        order_id = desk.note(await desk.till(ordering.url).place(concert))

        async def is_expired() -> bool:
            return bool((await desk.read(order_id))["cancelReason"] == "EXPIRED")

        await holds_within(is_expired, 10, "the order has lapsed")
        lapsed = await desk.read(order_id)
        assert lapsed["status"] == "CANCELLED"
        desk.told[order_id] = lapsed["status"]
    await desk.close()


def remaining(placed: Reply) -> timedelta:
    return datetime.fromisoformat(placed.body["expiresAt"]) - datetime.now(UTC)


async def check_the_clock(desk: Desk, instance: Instance, clock_s: int) -> None:
    """That the instance's clock is off, or the test would prove nothing."""
    async with desk.http.get(f"{instance.url}/alive") as answer:
        date = datetime.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert abs((date - datetime.now(UTC)).total_seconds() - clock_s) < 10
