from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.defaults.rate_limits import BoundedStore

NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)


async def test_it_keeps_what_still_counts_and_drops_what_does_not() -> None:
    store = BoundedStore(max_keys=10)
    await store.set("counts", LATER)
    for number in range(10):
        await store.set(f"past-{number}", NOW - timedelta(seconds=1))
    assert await store.get("counts", NOW) == LATER
    assert await store.get("past-1", NOW) == NOW


async def test_a_flood_of_keys_does_not_grow_it_and_the_newest_stay() -> None:
    store = BoundedStore(max_keys=10)
    for number in range(1000):
        await store.set(str(number), LATER)
    assert len(store._tats) <= 10
    assert await store.get("999", NOW) == LATER
