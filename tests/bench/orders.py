"""Orders and reads through the gateway, by an asyncio client of our own: as fast as they go, and at a steady pace."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.apphost.rush.stage import publish_concert
from services.apphost.system import System
from tests.bench.cpu import CpuMeter
from tests.bench.measure import Rate, running_parts
from tests.integration.shop import CONCERT, Shop, open_shop

CATALOG_PAGE = "{ concerts(first: 20) { nodes { id slug title available } } }"
STEADY_SHOPS = 16
QUIET_S = 0.5  # the mails of the last orders are sent once nothing has been done for so long
QUIET_CPU_S = 0.02


@dataclass
class Samples:
    """Latencies in seconds of what succeeded, and what went wrong how often."""

    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def take(self, work: Awaitable[None]) -> None:
        began = time.perf_counter()
        try:
            await work
        except Exception as error:
            self.errors[f"{type(error).__name__}: {error}"[:200]] += 1
        else:
            self.latencies.append(time.perf_counter() - began)

    def rate(self, took_s: float) -> Rate:
        for error, count in self.errors.most_common(5):
            sys.stderr.write(f"{count} × {error}\n")
        p99 = statistics.quantiles(self.latencies, n=100)[-1] if len(self.latencies) > 1 else float("nan")
        return Rate(len(self.latencies) / took_s, p99 * 1000, self.errors.total())


@dataclass(frozen=True)
class Steady:
    """A steady load, and how many cores each process kept busy with it."""

    orders: Rate
    reads: Rate
    cores: dict[str, float]


async def make_concerts(system: System, count: int, tickets: int) -> list[dict[str, Any]]:
    """Fresh concerts of one tier each."""
    database = system.urls["catalog_database"]
    made = [await publish_concert(database, tickets, f"bench-{secrets.token_hex(4)}") for _ in range(count)]
    return [{"id": concert.id, "tiers": [{"id": concert.tier_id}]} for concert in made]


async def measure_orders(
    system: System, concerts: Sequence[dict[str, Any]], seconds: float, *, buyers: int = 8, pay: bool
) -> Rate:
    """Orders of two tickets, placed (and paid) by so many buyers at once over the given concerts.

    The processor time includes the mails about them.
    """
    samples = Samples()
    async with _shops(system, buyers) as shops:
        meter, began = CpuMeter(running_parts(system)), time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(_buy_until(until, shop, concerts, samples, pay=pay) for shop in shops))
        rate = samples.rate(time.perf_counter() - began)
        await _until_quiet(meter)
        cpu_ms = meter.per_operation_ms(len(samples.latencies))
    return Rate(rate.per_s, rate.p99_ms, rate.errors, cpu_ms)


async def measure_steady(system: System, seconds: float, *, orders_per_s: int, reads_per_s: int) -> Steady:
    """Orders and reads that arrive at a steady pace, whether earlier ones are answered or not."""
    orders, reads = Samples(), Samples()
    concerts = await concerts_on_sale(system)
    async with _shops(system, STEADY_SHOPS) as shops:
        meter = CpuMeter(running_parts(system))
        async with asyncio.TaskGroup() as group:
            group.create_task(
                _paced(orders_per_s, seconds, lambda n: orders.take(_buy(_turn(shops, n), concerts, pay=False)))
            )
            group.create_task(_paced(reads_per_s, seconds, lambda n: reads.take(_read(_turn(shops, n), n))))
        cores = meter.cores()
    return Steady(orders.rate(seconds), reads.rate(seconds), cores)


async def concerts_on_sale(system: System) -> list[dict[str, Any]]:
    """The demo concerts that have plenty of tickets left."""
    async with open_shop(system.urls["gateway"]) as shop:
        query = f"{{ concerts(first: 100, filter: {{ availableOnly: true }}) {{ nodes {{ {CONCERT} }} }} }}"
        concerts: list[dict[str, Any]] = (await shop.data(query))["concerts"]["nodes"]
    for concert in concerts:
        concert["tiers"].sort(key=lambda tier: -int(tier["available"]))
    return [concert for concert in concerts if concert["tiers"][0]["available"] > 200]


async def _buy_until(
    until: float, shop: Shop, concerts: Sequence[dict[str, Any]], samples: Samples, *, pay: bool
) -> None:
    while time.perf_counter() < until:
        await samples.take(_buy(shop, concerts, pay=pay))


async def _buy(shop: Shop, concerts: Sequence[dict[str, Any]], *, pay: bool) -> None:
    order = await shop.place(concerts[secrets.randbelow(len(concerts))], quantity=2)
    if pay:
        answer = await shop.pay(order["id"])
        assert answer["data"]["payOrder"]["status"] == "CONFIRMED", answer


async def _read(shop: Shop, number: int) -> None:
    """By turns: the page of concerts, a query that many send, and one of thirty that fewer do."""
    match number % 3:
        case 0:
            async with shop.http.get(f"{shop.gateway}/concerts") as response:
                assert response.status == 200, response.status
                await response.read()
        case 1:
            await shop.data(CATALOG_PAGE)
        case _:
            await shop.data(f"{{ concerts(first: {20 + number // 3 % 30}) {{ totalCount }} }}")


def _turn(shops: Sequence[Shop], number: int) -> Shop:
    return shops[number % len(shops)]


async def _paced(per_s: int, seconds: float, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            group.create_task(work(number))


async def _until_quiet(meter: CpuMeter, timeout_s: float = 60) -> None:
    """Waits until nobody works any more on what the orders have caused."""
    async with asyncio.timeout(timeout_s):
        before = meter.spent_s()
        while True:
            await asyncio.sleep(QUIET_S)
            now = meter.spent_s()
            if now["notifications"] - before["notifications"] < QUIET_CPU_S:
                return
            before = now


@asynccontextmanager
async def _shops(system: System, count: int) -> AsyncIterator[list[Shop]]:
    """Clients, each logged in to an account of its own."""
    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(open_shop(system.urls["gateway"])) for _ in range(count)]
        for shop in shops:
            await shop.register()
        yield shops
