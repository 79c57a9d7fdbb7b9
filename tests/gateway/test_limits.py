from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.apphost.ports import free_ports
from services.defaults.errors import RateLimited
from services.gateway import limits
from services.gateway.limits import Act, Limiter, MemoryCounter, Rate, counter_in
from services.gateway.shared_redis import open_shared_redis


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_window_is_full_and_then_a_new_one_begins() -> None:
    clock = Clock()
    limiter = Limiter(MemoryCounter(clock=clock), lambda: {Act.LOGIN_ACCOUNT: Rate(2, 60)})
    await limiter.spend(Act.LOGIN_ACCOUNT, "a")
    clock.now = 20
    await limiter.spend(Act.LOGIN_ACCOUNT, "a")
    with pytest.raises(RateLimited) as raised:
        await limiter.spend(Act.LOGIN_ACCOUNT, "a")
    assert raised.value.retry_after_s == 40
    await limiter.spend(Act.LOGIN_ACCOUNT, "b")
    await limiter.spend(Act.ORDER_PERSON, "a")
    clock.now = 60
    await limiter.spend(Act.LOGIN_ACCOUNT, "a")


async def test_a_rate_may_change_meanwhile() -> None:
    rates = {Act.LOGIN_ACCOUNT: Rate(1, 60)}
    limiter = Limiter(MemoryCounter(), lambda: rates)
    await limiter.spend(Act.LOGIN_ACCOUNT, "a")
    rates = {Act.LOGIN_ACCOUNT: Rate(3, 60)}
    for _ in range(2):
        await limiter.spend(Act.LOGIN_ACCOUNT, "a")
    with pytest.raises(RateLimited):
        await limiter.spend(Act.LOGIN_ACCOUNT, "a")


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WINDOWS", 3)
    clock = Clock()
    counter = MemoryCounter(clock=clock)
    await counter.count("old", 10)
    clock.now = 20
    for key in "abc":
        await counter.count(key, 10)  # "old" is over, and gives way
    assert (await counter.count("a", 10))[0] == 2
    await counter.count("d", 10)  # nothing is over: the oldest gives way
    assert (await counter.count("b", 10))[0] == 2
    assert (await counter.count("a", 10))[0] == 1


async def test_redis_counts_for_all_instances_and_lets_none_of_many_slip_through(redis_url: str) -> None:
    async with open_shared_redis(redis_url) as one, open_shared_redis(redis_url) as other:
        rates = {Act.LOGIN_ACCOUNT: Rate(10, 60)}
        limiters = [Limiter(counter_in(redis), lambda: rates) for redis in (one, other)]
        outcomes = await asyncio.gather(
            *(limiters[number % 2].spend(Act.LOGIN_ACCOUNT, "a") for number in range(30)), return_exceptions=True
        )
    assert sum(outcome is None for outcome in outcomes) == 10
    assert all(isinstance(outcome, RateLimited | None) for outcome in outcomes)


async def test_redis_forgets_a_window_by_itself(redis_url: str) -> None:
    async with open_shared_redis(redis_url) as redis:
        counted, left_s = await counter_in(redis).count("fleeting", 60)
        assert counted == 1
        assert 58 < left_s <= 60
    async with Redis.from_url(redis_url) as look:
        assert 0 < await look.ttl(f"{limits.KEY_PREFIX}fleeting") <= 60


async def test_without_redis_each_instance_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with open_shared_redis(f"redis://127.0.0.1:{free_ports(1)[0]}") as redis:
        counter = counter_in(redis)
        assert [(await counter.count("a", 60))[0] for _ in range(3)] == [1, 2, 3]
    assert len(caplog.records) == 1  # it is left alone for a while, not tried each time


async def test_a_frozen_redis_holds_nobody_up() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_shared_redis(f"redis://127.0.0.1:{port}") as redis:
        counter = counter_in(redis)
        async with asyncio.timeout(1):
            assert (await counter.count("a", 60))[0] == 1
        async with asyncio.timeout(0.05):
            assert (await counter.count("a", 60))[0] == 2
