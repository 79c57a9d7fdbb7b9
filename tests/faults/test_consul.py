"""Consul is away, or has forgotten everything: known routes go on, and the services make themselves known again."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.faults.desk import SERVICES, Desk, holds_within

pytestmark = pytest.mark.faults

KNOWN_AGAIN_S = 25.0


async def test_killed_and_restarted_empty(desk: Desk) -> None:
    concert = await desk.publish(3)
    await desk.buy(concert)
    with desk.system.down("consul"):
        await desk.buy(concert)
        shutil.rmtree(desk.system.state / "consul-data")
    await desk.buy(concert)
    await all_known(desk, KNOWN_AGAIN_S)
    await desk.close()


async def test_frozen(desk: Desk) -> None:
    concert = await desk.publish(2)
    with desk.system.frozen("consul"):
        await asyncio.gather(desk.buy(concert), desk.buyer.concert_on_sale())
    await desk.buy(concert)
    await all_known(desk, KNOWN_AGAIN_S)
    await desk.close()


async def test_a_service_that_was_forgotten_makes_itself_known(desk: Desk) -> None:
    """And, the positive control, until then it is missed."""
    entry = next(iter(await desk.instances("ordering")))
    async with desk.http.put(f"{desk.system.urls['consul']}/v1/agent/service/deregister/{entry}") as answer:
        assert answer.status == 200
    with pytest.raises(AssertionError, match="ordering"):
        await all_known(desk, 0.1)
    await all_known(desk, KNOWN_AGAIN_S)
    await desk.close()


async def all_known(desk: Desk, within_s: float) -> None:
    missing: set[str] = set(SERVICES)

    async def none_is_missing() -> bool:
        for service in sorted(missing):
            if await desk.instances(service):
                missing.discard(service)
        return not missing

    try:
        await holds_within(none_is_missing, within_s, "every service is known")
    except AssertionError as late:
        raise AssertionError(f"{late}: {sorted(missing)} are not") from None
