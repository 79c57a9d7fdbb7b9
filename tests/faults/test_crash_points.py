"""An instance of ordering dies at each named step; the one beside it takes over what was left."""

from __future__ import annotations

import asyncio
import re

import pytest

from services.apphost.builders import CHECKOUT
from services.apphost.rush.stage import Concert
from services.defaults.discovery import Endpoint
from tests.faults.desk import Desk, holds_within
from tests.faults.instances import addresses, instance
from tests.faults.link import link_to
from tests.faults.till import insist

pytestmark = pytest.mark.faults

PLACE_STEPS = ("place.claimed", "place.held", "place.recorded")
PAY_STEPS = ("pay.started", "pay.charged", "pay.sold", "pay.confirmed")
CANCEL_STEPS = ("cancel.recorded", "finish.released", "finish.refunded")
LATE_STEPS = {"pay.held_again": "CONFIRMED", "pay.lost": "CANCELLED"}
RARER_STEPS = ("pay.started", "pay.sold")
RELAY_STEPS = ("relay.claimed", "relay.published")
# Whoever dies leaves its leases behind; its own recovery would only get in the way of the steps.
SHORT_LEASES = {"KEY_LEASE_S": "1", "WORK_LEASE_S": "1", "RECOVERY_INTERVAL_S": "3600"}
LONG_LEASE = {"WORK_LEASE_S": "60"}  # recovery keeps off: the buyer comes first
TAKEN_OVER_S = 15.0


@pytest.mark.parametrize("step", PLACE_STEPS)
async def test_the_same_key_gives_one_order_after_a_crash_while_placing(desk: Desk, step: str) -> None:
    concert = await desk.publish(2)
    async with instance(desk.system, "ordering", CRASH_AT=step, **SHORT_LEASES) as dying:
        lost = await desk.till(dying.url).place(concert, 2, "the-key" + step)
        assert lost.status == 0
        await dying.died()
    placed = await insist(lambda: desk.till().place(concert, 2, "the-key" + step), TAKEN_OVER_S)
    order_id = desk.note(placed)
    again = await desk.till().place(concert, 2, "the-key" + step)
    assert (again.status, again.body["id"]) == (200, order_id)
    assert (await desk.till().place(concert)).code == "SOLD_OUT"
    assert await orders_of(desk, concert) == [order_id]
    await desk.close()


async def test_no_ticket_is_stranded_past_its_hold(desk: Desk) -> None:
    concert = await desk.publish(1)
    hold = {"ORDERING_HOLD_TTL_S": "2"}
    async with instance(desk.system, "ordering", CRASH_AT="place.held", **SHORT_LEASES, **hold) as dying:
        assert (await desk.till(dying.url).place(concert, key="left-behind")).status == 0
        assert (await desk.till(rival=True).place(concert)).code == "SOLD_OUT"
        await dying.died()

    async def sold_to_the_rival() -> bool:
        reply = await desk.till(rival=True).place(concert)
        return bool(reply.status == 201 and desk.note(reply))

    await holds_within(sold_to_the_rival, 2 + TAKEN_OVER_S, "the ticket of a lapsed hold is sold again")
    late = await insist(lambda: desk.till().place(concert, key="left-behind"))
    assert late.code == "SOLD_OUT"
    await desk.close()


@pytest.mark.parametrize("step", PAY_STEPS)
async def test_recovery_finishes_a_payment_after_a_crash(desk: Desk, step: str) -> None:
    order_id = await crash_while_paying(desk, step, SHORT_LEASES)

    async def is_settled() -> bool:
        states = await desk.rows("ordering", "SELECT state FROM payments WHERE order_id = $1", order_id)
        return [row["state"] for row in states] in (["succeeded"], ["void"])

    await holds_within(is_settled, TAKEN_OVER_S, "the payment has an outcome")
    again = await insist(lambda: desk.till().pay(order_id, key="pay" + step))
    if step == "pay.started":  # it never reached the provider, and never will: the buyer may try again
        assert (again.status, again.code) == (402, "PAYMENT_DECLINED")
        again = await desk.till().pay(order_id)
    assert (again.status, again.body["status"]) == (200, "CONFIRMED")
    await charged_once(desk, order_id)
    await desk.close()


@pytest.mark.parametrize("step", ["pay.charged", *(pytest.param(step, marks=pytest.mark.slow) for step in RARER_STEPS)])
async def test_the_buyer_finishes_a_payment_after_a_crash(desk: Desk, step: str) -> None:
    order_id = await crash_while_paying(desk, step, SHORT_LEASES | LONG_LEASE)
    with pytest.raises(
        AssertionError, match="has no outcome yet"
    ):  # or else the ledger would not see a payment that nobody finishes
        await desk.close(settle_s=0.5)
    paid = await insist(lambda: desk.till().pay(order_id, key="pay" + step))
    assert (paid.status, paid.body["status"]) == (200, "CONFIRMED")
    await charged_once(desk, order_id)
    await desk.close()


@pytest.mark.parametrize(
    "step", ["cancel.recorded", pytest.param("finish.released", marks=pytest.mark.slow), "finish.refunded"]
)
async def test_recovery_finishes_a_cancellation_after_a_crash(desk: Desk, step: str) -> None:
    concert = await desk.publish(1)
    order_id = await desk.buy(concert)
    async with instance(desk.system, "ordering", CRASH_AT=step, **SHORT_LEASES) as dying:
        assert (await desk.till(dying.url).cancel(order_id)).status == 0
        await dying.died()

    async def is_paid_back() -> bool:
        return {charge.status for charge in await desk.charges(order_id)} == {"refunded"}

    await holds_within(is_paid_back, TAKEN_OVER_S, "the money is back")
    assert desk.note(await insist(lambda: desk.till().cancel(order_id))) == order_id
    assert (await desk.read(order_id))["status"] == "CANCELLED"
    sold_again = await desk.till(rival=True).place(concert)
    assert desk.note(sold_again)
    await desk.close()


@pytest.mark.slow
@pytest.mark.parametrize(("step", "end"), LATE_STEPS.items())
async def test_recovery_finishes_what_came_too_late(desk: Desk, step: str, end: str) -> None:
    """The hold lapses while the provider thinks, and somebody else takes the ticket, for good or for a moment."""
    concert = await desk.publish(2)
    settings = {**SHORT_LEASES, "ORDERING_HOLD_TTL_S": "2", "PAYMENTS_TIMEOUT_S": "8", "WORK_LEASE_S": "8"}
    async with link_to(Endpoint.parse(addresses(desk.system)["PAYMENTS_ADDR"])) as link:
        told = settings | addresses(desk.system, payments=str(link.endpoint))
        async with instance(desk.system, "ordering", CRASH_AT=step, **told) as dying:
            order_id = desk.note(await desk.till(dying.url).place(concert))
            link.delay_s = 2.5
            attempt = asyncio.create_task(desk.till(dying.url).pay(order_id))
            rivals = await take_both(desk, concert)
            if end == "CONFIRMED":
                await desk.till(rival=True).cancel(rivals)
            assert (await attempt).status == 0
            await dying.died()

    async def is_settled() -> bool:
        return bool((await desk.read(order_id))["status"] == end)

    await holds_within(is_settled, 8 + TAKEN_OVER_S, "the order has ended")
    await desk.close()
    kept = "succeeded" if end == "CONFIRMED" else "refunded"
    assert [charge.status for charge in await desk.charges(order_id)] == [kept]


async def test_the_relay_dies_before_and_after_publishing(desk: Desk) -> None:
    """A duplicate, never a loss; and while nobody relays, the ledger says so."""
    concert = await desk.publish(2)
    system = desk.system
    with system.down("ordering"):
        before, after = [await crash_while_relaying(desk, concert, step) for step in RELAY_STEPS]
        await holds_within(lambda: is_mailed(desk, after), 10, "what was published is mailed")
        assert not await is_mailed(desk, before)
        assert await desk.unpublished() >= 2
        with pytest.raises(AssertionError, match="not published yet"):
            await desk.close(settle_s=0.5)
    await holds_within(lambda: is_mailed(desk, before), 25, "what was only claimed is published after its lease")
    await desk.close()
    assert (await desk.mails(before), await desk.mails(after)) == (1, 1)


async def crash_while_paying(desk: Desk, step: str, settings: dict[str, str]) -> str:
    """The id of an order whose payment, with the key `pay…`, was left at the step."""
    order_id = desk.note(await desk.till().place(await desk.publish(1)))
    async with instance(desk.system, "ordering", CRASH_AT=step, **settings) as dying:
        assert (await desk.till(dying.url).pay(order_id, key="pay" + step)).status == 0
        await dying.died()
    return order_id


async def crash_while_relaying(desk: Desk, concert: Concert, step: str) -> str:
    """The id of the event whose way to the broker ended at the step."""
    async with instance(desk.system, "ordering", CRASH_AT=step, RECOVERY_INTERVAL_S="3600") as dying:
        placed = await desk.till(dying.url).place(concert, key=step)  # answered or not: it dies at the same time
        assert placed.status in {0, 201}
        await dying.died()
    newest = """
        SELECT e.event_id::text AS id FROM outbox e JOIN orders o ON o.id = e.order_id
        WHERE o.concert_id = $1 ORDER BY e.id DESC LIMIT 1
    """
    return str((await desk.rows("ordering", newest, concert.id))[0]["id"])


async def is_mailed(desk: Desk, event_id: str) -> bool:
    return await desk.mails(event_id) > 0


async def take_both(desk: Desk, concert: Concert) -> str:
    """The id of the rival's order of two tickets, got as soon as the other's hold has lapsed."""
    taken: list[str] = []

    async def took() -> bool:
        reply = await desk.till(rival=True).place(concert, 2)
        if reply.status == 201:
            taken.append(desk.note(reply))
        return bool(taken)

    await holds_within(took, 4, "a lapsed hold is anybody's")
    return taken[0]


async def charged_once(desk: Desk, order_id: str) -> None:
    charges = [charge.status for charge in await desk.charges(order_id)]
    assert [status for status in charges if status != "voided"] == ["succeeded"]


async def orders_of(desk: Desk, concert: Concert) -> list[str]:
    found = await desk.rows("ordering", "SELECT id::text FROM orders WHERE concert_id = $1", concert.id)
    return [row["id"] for row in found]


def test_every_step_is_crashed_at() -> None:
    """A step that is added to ordering, and forgotten here, is no crash point."""
    sources = (CHECKOUT / "services/ordering").rglob("*.py")
    named = {step for source in sources for step in re.findall(r'reached\("([a-z_.]+)"\)', source.read_text())}
    assert named == {*PLACE_STEPS, *PAY_STEPS, *LATE_STEPS, *CANCEL_STEPS, *RELAY_STEPS}
