"""Consul is away, or has forgotten everything: known routes go on, and the services make themselves known again."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress

import pytest

from tests.faults.desk import SERVICES, Desk

pytestmark = pytest.mark.faults

KNOWN_AGAIN_S = 25.0


async def test_killed_and_restarted_empty(desk: Desk) -> None:
    concert = await desk.publish(3)
    await desk.buy(concert)
    with desk.system.down("consul"):
        await desk.buy(concert)
        shutil.rmtree(desk.system.state / "consul-data")
    await desk.buy(concert)
    assert await unknown(desk, KNOWN_AGAIN_S) == set()
    await desk.close()


async def test_frozen(desk: Desk) -> None:
    concert = await desk.publish(2)
    with desk.system.frozen("consul"):
        await asyncio.gather(desk.buy(concert), desk.buyer.concert_on_sale())
    await desk.buy(concert)
    assert await unknown(desk, KNOWN_AGAIN_S) == set()
    await desk.close()


async def test_a_service_that_was_forgotten_makes_itself_known(desk: Desk) -> None:
    """And, the positive control, until then it is missed."""
    entry = next(iter(await desk.instances("ordering")))
    async with desk.http.put(f"{desk.system.urls['consul']}/v1/agent/service/deregister/{entry}") as answer:
        assert answer.status == 200
    assert await unknown(desk, 0.1) == {"ordering"}
    assert await unknown(desk, KNOWN_AGAIN_S) == set()
    await desk.close()


async def unknown(desk: Desk, within_s: float) -> set[str]:
    """The services that Consul has not named even once in that time; returns as soon as there is none."""
    missing = set(SERVICES)
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while missing:
                missing -= {service for service in missing if await desk.instances(service)}
                await asyncio.sleep(0.1)
    return missing
