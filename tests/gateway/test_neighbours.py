from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from services.apphost.ports import free_ports
from services.defaults.errors import Unauthorized
from services.gateway import neighbours
from services.gateway.neighbours import Neighbours
from services.gateway.shared_redis import open_shared_redis

SECRET = "a-secret-of-the-tests-with-enough-bytes"


class Asked:
    """What is asked, in a way that can be held up; `error` is what comes instead of an answer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error
        self.begun = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> str:
        self.calls += 1
        self.begun.set()
        await self.free.wait()
        if self.error:
            raise self.error
        return "told-to-nobody-else"


@pytest.fixture
def token() -> str:
    return uuid4().hex


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[tuple[Neighbours, Neighbours]]:
    async with open_shared_redis(redis_url) as one, open_shared_redis(redis_url) as other:
        yield Neighbours(one, SECRET), Neighbours(other, SECRET)


async def test_a_neighbour_that_comes_meanwhile_waits_for_the_answer(
    pair: tuple[Neighbours, Neighbours], token: str
) -> None:
    asked, late = Asked(), Asked()
    asked.free.clear()
    first = asyncio.create_task(pair[0].once(token, asked))
    await asked.begun.wait()
    second = asyncio.create_task(pair[1].once(token, late))
    asked.free.set()
    assert await first == await second == "told-to-nobody-else"
    assert late.calls == 0


async def test_a_refusal_is_for_whoever_asked(pair: tuple[Neighbours, Neighbours], token: str) -> None:
    refused = Asked(Unauthorized("spent"))
    for one in pair:
        with pytest.raises(Unauthorized):
            await one.once(token, refused)
    assert refused.calls == 2


async def test_a_neighbour_that_died_while_asking_is_not_waited_for_without_end(
    pair: tuple[Neighbours, Neighbours], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LOOKS", 2)
    dead, asked = Asked(), Asked()
    dead.free.clear()
    first = asyncio.create_task(pair[0].once(token, dead))
    await dead.begun.wait()
    first.cancel()
    assert await pair[1].once(token, asked) == "told-to-nobody-else"


async def test_redis_holds_neither_token_nor_answer_and_forgets(
    pair: tuple[Neighbours, Neighbours], token: str, redis_url: str
) -> None:
    await pair[0].once(token, Asked())
    await pair[0].end(token)
    async with Redis.from_url(redis_url) as redis:
        names = [name async for name in redis.scan_iter("gateway:*")]
        held = str([(name, await redis.get(name)) for name in names])
        lives_s = [await redis.ttl(name) for name in names]
    assert len(names) >= 2
    assert token not in held
    assert "told" not in held
    assert 0 < min(lives_s) <= max(lives_s) <= neighbours.ENDED_S


async def test_what_another_secret_sealed_is_asked_anew(
    pair: tuple[Neighbours, Neighbours], token: str, redis_url: str
) -> None:
    await pair[0].once(token, Asked())
    async with open_shared_redis(redis_url) as redis:
        asked = Asked()
        assert await Neighbours(redis, SECRET[::-1]).once(token, asked) == "told-to-nobody-else"
        assert asked.calls == 1


async def test_what_has_ended_is_known_to_all(pair: tuple[Neighbours, Neighbours], token: str) -> None:
    assert not await pair[1].has_ended(token)
    await pair[0].end(token)
    assert await pair[1].has_ended(token)


@pytest.mark.parametrize("away", [True, False])
async def test_without_redis_each_asks_for_itself(token: str, away: bool) -> None:
    async with open_shared_redis(f"redis://127.0.0.1:{free_ports(1)[0]}" if away else "") as redis:
        alone, asked = Neighbours(redis, SECRET), Asked()
        assert [await alone.once(token, asked) for _ in range(2)] == ["told-to-nobody-else"] * 2
        await alone.end(token)
        assert not await alone.has_ended(token)
    assert asked.calls == 2
