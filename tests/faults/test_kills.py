"""Services are killed, or told to stop, while buyers are at it."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from services.apphost.system import System
from tests.faults.desk import Desk, holds_within, killed
from tests.faults.instances import instance
from tests.faults.load import new_seed, under_load
from tests.faults.till import Reply

pytestmark = pytest.mark.faults

SERVICES = ("gateway", "ordering", "catalog")


async def killed_after(system: System, part: str, pause_s: float) -> None:
    await asyncio.sleep(pause_s)
    await killed(system, part)


async def test_services_killed_at_random(desk: Desk) -> None:
    seed = new_seed()
    chance = random.Random(seed)
    async with under_load(desk, seed) as load:
        await asyncio.gather(*(killed_after(desk.system, part, chance.uniform(0, 2)) for part in SERVICES))
        await load.goes_on()
    assert not load.failures
    await desk.close()


@pytest.mark.slow
async def test_services_killed_again_and_again(desk: Desk) -> None:
    seed = new_seed()
    chance = random.Random(seed)
    async with under_load(desk, seed) as load:
        for _ in range(8):
            await asyncio.sleep(chance.uniform(0, 1))
            parts = chance.sample((*SERVICES, "identity", "notifications", "payments"), 2)
            await asyncio.gather(*(killed(desk.system, part) for part in parts))
            await load.goes_on(within_s=60)
    assert not load.failures
    await desk.close()


@pytest.mark.parametrize("part", ["ordering", pytest.param("gateway", marks=pytest.mark.slow)])
async def test_a_restart_under_load_loses_nothing(desk: Desk, part: str) -> None:
    seed = new_seed()
    async with under_load(desk, seed) as load:
        await killed(desk.system, part, signal.SIGTERM)
        await load.goes_on()
    assert not load.failures
    await desk.close()


async def test_what_is_in_flight_is_answered_before_a_stop(desk: Desk) -> None:
    replies = await stopped_in_flight(desk, signal.SIGTERM)
    check_none_broke_off(replies)
    await desk.close()


async def test_what_is_in_flight_breaks_off_without_draining(desk: Desk) -> None:
    """The positive control of the above: a stop that does not drain is noticed."""
    replies = await stopped_in_flight(desk, signal.SIGKILL)
    with pytest.raises(AssertionError, match="broke off"):
        check_none_broke_off(replies)
    await desk.close()


async def stopped_in_flight(desk: Desk, number: signal.Signals) -> list[Reply]:
    """The answers of payments that are being made while their instance gets the signal."""
    concert = await desk.publish(8)
    placed = [await desk.till().place(concert) for _ in range(8)]
    order_ids = [desk.note(reply) for reply in placed]
    async with instance(desk.system, "ordering", GRACE_S="10") as stopping:
        till = desk.till(stopping.url)
        attempts = [asyncio.create_task(till.pay(order_id)) for order_id in order_ids]
        await holds_within(lambda: are_begun(desk, order_ids), 5, "the payments have begun")
        os.kill(stopping.process.pid, number)
        return await asyncio.gather(*attempts)


async def are_begun(desk: Desk, order_ids: list[str]) -> bool:
    sql = "SELECT 1 FROM payments WHERE order_id = ANY($1::uuid[])"
    return bool(await desk.rows("ordering", sql, order_ids))


def check_none_broke_off(replies: list[Reply]) -> None:
    """Refused is not broken off: that request can go to another instance."""
    broken = [reply for reply in replies if reply.status == 0 and not reply.refused]
    assert not broken, f"{len(broken)} of {len(replies)} requests broke off"
