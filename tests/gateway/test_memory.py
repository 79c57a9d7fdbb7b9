from __future__ import annotations

import asyncio

import pytest

from services.defaults.deadline import deadline_scope, remaining_s
from services.defaults.errors import Unauthorized, Unavailable
from services.gateway.memory import Memory


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Maker:
    """Counts its calls; fails with `error` where there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    async def __call__(self) -> int:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.error:
            raise self.error
        return self.calls


async def test_many_who_ask_at_once_cost_one_make() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5)
    make = Maker()
    assert await asyncio.gather(*(memory.get("a", make) for _ in range(20))) == [1] * 20
    assert await memory.get("b", make) == 2


async def test_a_value_is_kept_for_its_time() -> None:
    clock, make = Clock(), Maker()
    memory: Memory[int] = Memory(ttl_s=10, size=5, clock=clock)
    assert await memory.get("a", make) == 1
    clock.now += 9
    assert await memory.get("a", make) == 1
    clock.now += 2
    assert await memory.get("a", make) == 2


async def test_one_who_leaves_does_not_take_the_others_along() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5)
    make = Maker()
    first = asyncio.create_task(memory.get("a", make))
    second = asyncio.create_task(memory.get("a", make))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    assert make.calls == 1


async def test_the_first_to_ask_does_not_hurry_the_others() -> None:
    memory: Memory[float] = Memory(ttl_s=10, size=5)

    async def make() -> float:
        return remaining_s(30.0)

    with deadline_scope(0.025):
        assert await memory.get("a", make) == 30.0


async def test_failures_are_kept_only_where_asked() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5, keeps_error=lambda error: isinstance(error, Unauthorized))
    refused, away = Maker(Unauthorized("no")), Maker(Unavailable("away"))
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await memory.get("refused", refused)
        with pytest.raises(Unavailable):
            await memory.get("away", away)
    assert (refused.calls, away.calls) == (1, 2)


async def test_the_least_used_value_gives_way() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=2)
    make = Maker()
    for key in ("a", "b", "a", "c", "a"):
        await memory.get(key, make)
    assert make.calls == 3
    assert await memory.get("b", make) == 4


async def test_a_failure_reaches_all_who_wait_for_it() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5)
    broken = Maker(RuntimeError("no"))
    outcomes = await asyncio.gather(*(memory.get("a", broken) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3
    assert broken.calls == 1


async def test_values_are_kept_only_where_asked() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5, keeps=lambda value: value > 1)
    make = Maker()
    assert [await memory.get("a", make) for _ in range(3)] == [1, 2, 2]


async def test_nothing_is_kept_for_no_time() -> None:
    memory: Memory[int] = Memory(ttl_s=0, size=5)
    make = Maker()
    assert [await memory.get("a", make) for _ in range(2)] == [1, 2]


async def test_a_forgotten_value_is_made_anew() -> None:
    memory: Memory[int] = Memory(ttl_s=10, size=5)
    make = Maker()
    assert await memory.get("a", make) == 1
    memory.forget(lambda value: value == 1)
    assert await memory.get("a", make) == 2
