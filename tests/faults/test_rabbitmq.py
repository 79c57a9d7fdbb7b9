"""The broker is away: orders are taken all the same, and what they tell comes later."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

import pytest

from services.apphost.system import System
from tests.faults.desk import Desk, holds_within, killed
from tests.faults.load import new_seed, under_load

pytestmark = pytest.mark.faults

DRAINED_S = 15.0  # after the broker's return
QUEUES_SETTLE_S = 1.5  # a quorum queue that was declared just now, and dies with its node, may come back crippled
TAKEN_S = 5.0
Outage = Callable[[System], contextlib.AbstractContextManager[None]]


def down(system: System) -> contextlib.AbstractContextManager[None]:
    return system.down("rabbitmq")


def frozen(system: System) -> contextlib.AbstractContextManager[None]:
    return system.frozen("rabbitmq")


@pytest.mark.parametrize("outage", [down, frozen])
async def test_orders_are_taken_and_told_of_later(desk: Desk, outage: Outage) -> None:
    concert = await desk.publish(6)
    await desk.buy(concert)
    await desk.close()
    await asyncio.sleep(QUEUES_SETTLE_S)
    with outage(desk.system):
        for _ in range(2):
            async with asyncio.timeout(TAKEN_S):
                order_id = await desk.buy(concert)
        cancelled = await desk.till().cancel(order_id)
        assert cancelled.status == 200
        assert desk.note(cancelled)
        with pytest.raises(AssertionError, match="outbox"):  # what would be seen if it did not come back
            await drained(desk, 1)
        assert await desk.unpublished() >= 5
    await drained(desk, DRAINED_S)
    await desk.close()


async def test_a_restart_under_load_loses_nothing(desk: Desk) -> None:
    seed = new_seed()
    async with under_load(desk, seed) as load:
        await killed(desk.system, "rabbitmq", signal.SIGTERM)
        await load.goes_on()
    assert not load.failures
    await drained(desk, DRAINED_S)
    await desk.close()


async def drained(desk: Desk, within_s: float) -> None:
    async def is_empty() -> bool:
        return await desk.unpublished() == 0

    await holds_within(is_empty, within_s, "the outbox is empty")
