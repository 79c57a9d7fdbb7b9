"""The databases are away: the shop says so at once, and heals by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial

import asyncpg
import pytest

from services.apphost.rush.gateway import Answer, Gateway, open_door
from services.apphost.rush.stage import Concert
from services.defaults.database import Database, open_database
from services.defaults.errors import Unavailable
from tests.faults.desk import Desk, holds_within
from tests.faults.load import new_seed, under_load
from tests.faults.till import Reply, insist

pytestmark = pytest.mark.faults

ANSWERED_S = 3.0
LOOK = "query($id: ID!) { concert(id: $id) { id } }"


async def test_frozen_it_is_said_within_three_seconds(desk: Desk) -> None:
    concert = await desk.publish(4)
    order_id = desk.note(await desk.till().place(concert))
    with desk.system.frozen("postgres"):
        replies = await asyncio.gather(
            desk.till().place(concert, key="frozen"),
            desk.till().pay(order_id, key="frozen"),
            desk.till().cancel(order_id),
            desk.till().order(order_id),
        )
        for reply in replies:
            check_come_again(reply)
        with pytest.raises(TimeoutError):  # of a client without limits: else nothing was frozen
            await asyncio.wait_for(asyncpg.connect(desk.system.urls["postgres"]), ANSWERED_S)
    placed = await insist(lambda: desk.till().place(concert, key="frozen"))
    assert desk.note(placed)
    paid = await insist(lambda: desk.till().pay(desk.note(placed)))
    assert paid.body["status"] == "CONFIRMED"
    await desk.close()


def check_come_again(reply: Reply) -> None:
    assert reply.status == 503, reply
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.took_s < ANSWERED_S, reply


async def test_frozen_the_gateway_says_so_too(desk: Desk) -> None:
    concert = await desk.publish(1)
    with desk.system.frozen("postgres"):
        answer, took_s = await look(desk, concert)
    assert (answer.code, bool(answer.retry_after_s)) == ("UNAVAILABLE", True)
    assert took_s < ANSWERED_S

    async def is_healed() -> bool:
        return not (await look(desk, concert))[0].code

    await holds_within(is_healed, 15, "the concert is shown again")
    await desk.close()


async def look(desk: Desk, concert: Concert) -> tuple[Answer, float]:
    """A look at a concert that nobody has looked at, and how long the answer took, in seconds."""
    async with open_door(desk.system.urls["gateway"]) as send:
        began = time.monotonic()
        answer = await Gateway(send, time.monotonic, at_once=1).ask("look", LOOK, {"id": concert.id})
        return answer, time.monotonic() - began


async def test_a_short_freeze_leaves_no_transaction_open(desk: Desk) -> None:
    """A BEGIN that timed out is still answered after the thaw; its connection must not be lost to the pool."""
    concert = await desk.publish(10)
    order_ids = [desk.note(await desk.till().place(concert)) for _ in range(10)]
    await asyncio.gather(*(desk.till().order(order_id) for order_id in order_ids))  # fills the pool
    with desk.system.frozen("postgres"):
        first = asyncio.create_task(desk.till().cancel(order_ids[0]))
        replies = await asyncio.gather(*(desk.till().cancel(order_id) for order_id in order_ids[1:]))
        await first
    assert {reply.status for reply in replies} == {503}
    open_ones = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"

    async def none_is_open() -> bool:
        return not await desk.rows("ordering", open_ones)

    await holds_within(none_is_open, 2, "no transaction is left open")
    again = await asyncio.gather(*(insist(partial(desk.till().cancel, order_id)) for order_id in order_ids))
    assert all(desk.note(reply) and reply.took_s < ANSWERED_S for reply in again)
    await desk.close()


async def test_a_task_outlives_a_connection_that_cannot_be_given_back(desk: Desk) -> None:
    """A loop runs in one task for as long as its service: a transaction's lost connection must not stay with it."""
    async with open_database(desk.system.urls["ordering_database"], "services.ordering.models") as database:
        with pytest.raises(Unavailable):
            await leave_in_the_middle(database)
        assert await database.fetch("SELECT 1 AS one") == [{"one": 1}]
    await desk.close()


async def leave_in_the_middle(database: Database) -> None:
    """Ends a transaction whose connection is still busy, as after a crash of the server it may seem to be for ever."""
    async with database.transaction():
        stray = asyncio.ensure_future(database.fetch("SELECT pg_sleep(1)"))
        stray.add_done_callback(lambda done: done.exception())  # it breaks off with the connection, as it should
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGQUIT, marks=pytest.mark.slow)])
async def test_restarted_under_load(desk: Desk, number: signal.Signals) -> None:
    """SIGQUIT is its immediate shutdown: like a power cut, but for the children, who are told."""
    async with under_load(desk, new_seed()) as load:
        before = desk.system.pid("postgres")
        os.kill(before, number)

        async def is_back() -> bool:
            return desk.system.pid("postgres") not in {0, before}

        await holds_within(is_back, 60, "Postgres is back")
        await load.goes_on()
    assert not load.failures
    await desk.close()
