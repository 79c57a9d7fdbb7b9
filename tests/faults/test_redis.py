"""Redis is away: the shop reads from the database, and nobody waits for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.apphost.system import System
from tests.faults.desk import Desk

pytestmark = pytest.mark.faults

WAIT_S = 0.3  # that a request may cost for Redis
NOISE_S = 0.4  # that the machine may add, as others work on it too
READS = 6
LISTING = "query($text: String!) { concerts(first: 20, filter: { text: $text }) { nodes { id slug } } }"
Outage = Callable[[System], contextlib.AbstractContextManager[None]]


def killed(system: System) -> contextlib.AbstractContextManager[None]:
    return system.down("redis")


def frozen(system: System) -> contextlib.AbstractContextManager[None]:
    return system.frozen("redis")


@pytest.mark.parametrize("outage", [killed, frozen])
async def test_browsing_and_orders_go_on(desk: Desk, outage: Outage) -> None:
    concert = await desk.publish(4)
    usual_s = max([await browse(desk, f"usual {number}") for number in range(READS)])
    with outage(desk.system):
        for number in range(READS):
            check_is_quick(await browse(desk, f"{outage.__name__} {number}"), usual_s)
        await desk.buy(concert)
        await desk.buyer.register()  # where guesses are counted
        await desk.buy(concert)
    await desk.close()


async def test_a_client_without_limits_would_wait(desk: Desk) -> None:
    """The positive control of the above: the frozen Redis does keep one waiting, and the check sees it."""
    with desk.system.frozen("redis"):
        took_s = await ask_without_limits(desk)
    with pytest.raises(AssertionError, match="waited"):
        check_is_quick(took_s, 0)
    await desk.close()


async def browse(desk: Desk, text: str) -> float:
    """Seconds that a look at the listing takes, at a page that nobody has looked at."""
    began = time.monotonic()
    await desk.buyer.data(LISTING, text=text)
    return time.monotonic() - began


def check_is_quick(took_s: float, usual_s: float) -> None:
    assert took_s < usual_s + WAIT_S + NOISE_S, f"waited {took_s:.2f} s, and usually {usual_s:.2f} s"


async def ask_without_limits(desk: Desk) -> float:
    """Seconds until redis-py gives up as it comes: the positive control, of a client that does wait."""
    began = time.monotonic()
    async with Redis.from_url(desk.system.urls["redis"], socket_timeout=2) as client:
        with contextlib.suppress(RedisError, OSError):
            await client.get("anything")
    return time.monotonic() - began
