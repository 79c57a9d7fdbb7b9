"""The recovery loop: what is broken keeps nothing else from being finished."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from services.defaults.errors import Unavailable
from services.ordering.domain import ChargeAnswer, PaymentState, Status
from services.ordering.recovery import Recovery
from services.ordering.service import recover
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps
from services.ordering.service.recover import BATCH
from services.ordering.store import keys, orders, payments
from tests.ordering.flows import end_hold, load, pay, place, placed, recover_once, state
from tests.ordering.support import BUYER, SEATED, STANDING, FakeCatalog, FakeProvider


async def spoil(deps: Deps, order_id: UUID) -> None:
    """Nobody can read the order any more."""
    await deps.db.execute("UPDATE orders SET concert = concert - 'slug' WHERE id = $1", order_id)


async def test_an_order_that_cannot_be_read_keeps_no_other_from_its_end(deps: Deps, catalog: FakeCatalog) -> None:
    catalog.stock = {SEATED: 100, STANDING: 100}
    broken = [await placed(deps) for _ in range(BATCH + 1)]
    healthy = await placed(deps)
    for order_id in [*broken, healthy]:
        await end_hold(deps, order_id)
    for order_id in broken:
        await deps.db.execute("UPDATE orders SET expires_at = now() - interval '1 hour' WHERE id = $1", order_id)
        await spoil(deps, order_id)
    assert await recover_once(deps) == 2  # its end, and its tickets
    assert (await load(deps, healthy)).status is Status.CANCELLED
    assert await recover_once(deps) == 0
    assert len(await deps.db.fetch("SELECT 1 FROM orders WHERE status = 'PENDING'")) == len(broken)


async def test_an_order_that_cannot_be_read_keeps_no_other_s_tickets(deps: Deps, catalog: FakeCatalog) -> None:
    broken, healthy = await placed(deps), await placed(deps)
    catalog.fail("release", times=2)
    for order_id in (broken, healthy):
        await pay(deps, order_id)
        await cancel_order(deps, BUYER.id, order_id)
    await spoil(deps, broken)
    await recover_once(deps)
    assert catalog.sold == {}
    assert await orders.select_release(deps.db, healthy) is None


@pytest.mark.parametrize("failure", [Unavailable("away"), RuntimeError("a bug")])
async def test_what_fails_altogether_keeps_nothing_else_from_its_turn(
    deps: Deps, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    cancelled, over = await placed(deps), await placed(deps)
    catalog.fail("release")
    await cancel_order(deps, BUYER.id, cancelled)
    await end_hold(deps, over)

    async def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(payments, "claim_unfinished", fail)
    assert await recover_once(deps) == 3  # two orders' tickets, and the end of one
    assert cancelled not in catalog.holds
    assert (await load(deps, over)).status is Status.CANCELLED


async def test_what_a_newer_release_wrote_beside_is_read(deps: Deps) -> None:
    order_id = await placed(deps)
    before = await load(deps, order_id)
    await deps.db.execute("""UPDATE orders SET concert = concert || '{"poster": "x"}' WHERE id = $1""", order_id)
    assert await load(deps, order_id) == before


async def test_the_loop_finishes_forgets_and_stops(deps: Deps, provider: FakeProvider) -> None:
    order_id = await placed(deps)
    provider.lost = 1
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    await place(deps, "old")
    await deps.db.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '2 days', leased_until = now() WHERE key = 'old'"
    )
    stop = asyncio.Event()

    def pause_s() -> float:  # it is asked for after a whole round
        stop.set()
        return 0

    await Recovery(deps, interval_s=pause_s).run(stop)
    assert await state(deps, order_id) is PaymentState.SUCCEEDED
    assert await keys.delete_old_keys(deps.db, 24 * 3600) == 0


async def test_the_loop_forgets_all_old_events_however_many(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover, "PRUNE_BATCH", 1)
    for _ in range(3):
        await placed(deps)
    await deps.db.execute("UPDATE outbox SET published_at = now() - interval '8 days'")
    stop = asyncio.Event()

    def pause_s() -> float:  # it is asked for after a whole round
        stop.set()
        return 0

    await Recovery(deps, interval_s=pause_s).run(stop)
    assert await deps.db.fetch("SELECT 1 FROM outbox") == []


async def test_who_is_to_stop_begins_nothing_more(
    deps: Deps, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payment that stays unclear, and is asked about without a pause, is work without an end."""
    order_id = await placed(deps)
    provider.lost = 1
    with pytest.raises(Unavailable):
        await pay(deps, order_id)
    stop, asked = asyncio.Event(), 0

    async def stop_at_the_third(_payment_id: UUID) -> ChargeAnswer:
        nonlocal asked
        asked += 1
        if asked == 3:
            stop.set()
        raise Unavailable("away")

    monkeypatch.setattr(provider, "look_up", stop_at_the_third)
    async with asyncio.timeout(30):
        await Recovery(deps, interval_s=lambda: 3600).run(stop)
    assert asked == 3
