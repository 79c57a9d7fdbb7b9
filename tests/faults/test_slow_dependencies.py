"""The way to the catalog or the payment provider is slow, silent or broken: callers fail inside their budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.defaults.attempts import DEFAULT_POLICY
from services.defaults.discovery import Endpoint
from tests.faults.desk import Desk, holds_within
from tests.faults.instances import Instance, addresses, instance
from tests.faults.link import Link, link_to
from tests.faults.till import Reply, insist

pytestmark = pytest.mark.faults

SLOW_S = 5.0
NOISE_S = 0.7
KEEPS_OFF = {"RECOVERY_INTERVAL_S": "3600"}  # its own recovery would use the link, too


@asynccontextmanager
async def behind_a_link(desk: Desk, service: str, **settings: str) -> AsyncIterator[tuple[Instance, Link]]:
    """An ordering that reaches one of its services only through the link."""
    target = Endpoint.parse(addresses(desk.system)[f"{service.upper()}_ADDR"])
    async with link_to(target) as link:
        told = KEEPS_OFF | addresses(desk.system, **{service: str(link.endpoint)}) | settings
        async with instance(desk.system, "ordering", **told) as ordering:
            yield ordering, link


async def test_a_slow_provider_costs_the_buyer_no_more_than_the_budget(desk: Desk) -> None:
    concert = await desk.publish(2)
    async with behind_a_link(desk, "payments", PAYMENTS_TIMEOUT_S="1") as (ordering, link):
        till = desk.till(ordering.url)
        order_id = desk.note(await till.place(concert))
        link.delay_s = SLOW_S
        check_gave_up(await till.pay(order_id, key="slow"), 1)
    paid = await insist(lambda: desk.till().pay(order_id, key="slow"))
    assert (paid.status, paid.body["status"]) == (200, "CONFIRMED")
    assert [charge.status for charge in await desk.charges(order_id)] == ["succeeded"]
    await desk.close()


async def test_without_the_budget_the_buyer_would_wait(desk: Desk) -> None:
    """The positive control of the above."""
    concert = await desk.publish(1)
    async with behind_a_link(desk, "payments", PAYMENTS_TIMEOUT_S="20") as (ordering, link):
        till = desk.till(ordering.url)
        order_id = desk.note(await till.place(concert))
        link.delay_s = 2
        reply = await till.pay(order_id)
        with pytest.raises(AssertionError, match="gave no answer in time"):
            check_gave_up(reply, 1)
    await desk.close()


@pytest.mark.parametrize("trouble", [pytest.param("slow", marks=pytest.mark.slow), "silent"])
async def test_a_caller_s_deadline_holds_all_the_way(desk: Desk, trouble: str) -> None:
    concert = await desk.publish(1)
    async with behind_a_link(desk, "catalog") as (ordering, link):
        if trouble == "slow":
            link.delay_s = SLOW_S
        link.silent = trouble == "silent"
        reply = await desk.till(ordering.url).place(concert, key=trouble, deadline_s=1.5)
        check_gave_up(reply, 1.5)
    assert desk.note(await insist(lambda: desk.till().place(concert, key=trouble)))
    await desk.close()


async def test_the_breaker_opens_and_closes_again(desk: Desk) -> None:
    concert = await desk.publish(3)
    async with behind_a_link(desk, "payments") as (ordering, link):
        till = desk.till(ordering.url)
        order_ids = [desk.note(await till.place(concert)) for _ in range(3)]
        link.break_off()
        for order_id in order_ids[:2]:
            assert (await till.pay(order_id)).status == 503
        assert ordering.said("circuit breaker", "open")
        tries = link.tries
        refused = await till.pay(order_ids[2])
        assert (refused.status, refused.took_s < 0.5 + NOISE_S) == (503, True)
        assert link.tries == tries, "an open breaker spares the provider"
        link.mend()
        await asyncio.sleep(DEFAULT_POLICY.break_s)
        placed = desk.note(await till.place(await desk.publish(1)))
        assert (await till.pay(placed)).body["status"] == "CONFIRMED"
        assert link.tries > tries
        await holds_within(lambda: is_said(ordering, "closed"), 2, "the breaker is closed")
    await desk.close()


async def is_said(ordering: Instance, state: str) -> bool:
    return ordering.said("circuit breaker", state)


def check_gave_up(reply: Reply, budget_s: float) -> None:
    assert reply.took_s < budget_s + NOISE_S, f"gave no answer in time: {reply.took_s:.1f} s"
    assert (reply.status, "Retry-After" in reply.headers) == (503, True), reply
