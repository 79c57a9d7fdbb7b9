"""Positive controls that need a service without its safety mechanism: what it prevents happens, and is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from services.apphost.rush.stage import Concert
from tests.faults.desk import Desk, holds_within
from tests.faults.instances import addresses, instance
from tests.faults.test_last_ticket import check_one_order, check_sold_once
from tests.faults.till import Reply

pytestmark = pytest.mark.faults

BUYERS = 6
GUARDS = ("tickets_guard_lease", "tickets_guard_sale")


@pytest.mark.slow
async def test_without_locks_the_database_still_refuses_a_second_sale(desk: Desk) -> None:
    """Wrong code alone sells nothing twice: the constraint stands behind it."""
    concert = await desk.publish(1)
    replies = await storm_without_locks(desk, concert)
    assert [reply.status for reply in replies].count(201) == 1
    keep(desk, replies)
    await desk.close()


async def test_without_locks_and_guards_a_ticket_is_sold_twice_and_the_ledger_sees_it(desk: Desk) -> None:
    concert = await desk.publish(1)
    async with unguarded(desk):
        replies = await storm_without_locks(desk, concert)
    order_ids = keep(desk, replies)
    with pytest.raises(AssertionError, match="'sold'"):
        check_sold_once([reply.code for reply in replies])
    with pytest.raises(AssertionError, match="is in several live orders"):
        await desk.close(settle_s=2)
    await give_back(desk, order_ids)
    await desk.close()


async def test_without_keys_a_double_click_is_two_orders(desk: Desk) -> None:
    concert = await desk.publish(2)
    async with instance(desk.system, "ordering", sabotage="keys") as ordering:
        replies = [await desk.till(ordering.url).place(concert, key="double-click") for _ in range(2)]
    with pytest.raises(AssertionError, match="2 orders"):
        await check_one_order(desk, concert)
    keep(desk, replies)
    await desk.close()


@pytest.mark.slow
async def test_without_the_outbox_s_order_a_crash_loses_an_event_and_the_ledger_sees_it(desk: Desk) -> None:
    """Marked before it was published, instead of after."""
    concert = await desk.publish(1)
    with desk.system.down("ordering"):
        async with instance(desk.system, "ordering", sabotage="outbox", CRASH_AT="relay.claimed") as dying:
            await desk.till(dying.url).place(concert)
            await dying.died()
    assert await desk.unpublished() == 0
    with pytest.raises(AssertionError, match="is published, and has no mail"):
        await desk.close(settle_s=3)
    await change(
        desk,
        "ordering",
        "UPDATE outbox SET published_at = NULL, claimed_until = NULL"
        f" WHERE order_id = (SELECT id FROM orders WHERE concert_id = '{concert.id}')",
    )
    await desk.close()


async def storm_without_locks(desk: Desk, concert: Concert) -> list[Reply]:
    async with instance(desk.system, "catalog", sabotage="locks") as catalog:
        told = addresses(desk.system, catalog=f"127.0.0.1:{catalog.port}")
        async with instance(desk.system, "ordering", **told) as ordering:
            till = desk.till(ordering.url)
            return await asyncio.gather(*(till.place(concert) for _ in range(BUYERS)))


def keep(desk: Desk, replies: list[Reply]) -> list[str]:
    return [desk.note(reply) for reply in replies if reply.status == 201]


async def give_back(desk: Desk, order_ids: list[str]) -> None:
    """Cancels the orders, after which the books close again."""
    for order_id in order_ids:
        assert desk.note(await desk.till().cancel(order_id))

    async def are_cancelled() -> bool:
        return all([(await desk.read(order_id))["status"] == "CANCELLED" for order_id in order_ids])

    await holds_within(are_cancelled, 5, "the orders are cancelled")


@asynccontextmanager
async def unguarded(desk: Desk) -> AsyncIterator[None]:
    """Inside the block the catalog's tables do without the triggers that keep a ticket from having two owners."""
    await change(desk, "catalog", *(f"ALTER TABLE tickets DISABLE TRIGGER {name}" for name in GUARDS))
    try:
        yield
    finally:
        await change(desk, "catalog", *(f"ALTER TABLE tickets ENABLE TRIGGER {name}" for name in GUARDS))


async def change(desk: Desk, database: str, *statements: str) -> None:
    connection = await asyncpg.connect(desk.system.urls[f"{database}_database"])
    try:
        for statement in statements:
            assert await connection.execute(statement) != "UPDATE 0"
    finally:
        await connection.close()
