"""The cache with a real Redis, a dead one and a frozen one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.catalog.cache import BUDGET_S, FAILURES_TO_OPEN, JITTER, Cache, open_cache, page_key
from services.catalog.search import Sort, concert_query
from tests.defaults.loopback import unused_port

AT_WORST_S = 0.3  # what a read may lose to a Redis that is away


class Loader:
    """Gives b"1", b"2" …, one more with each call."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> bytes:
        self.calls += 1
        return str(self.calls).encode()


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[Cache]:
    async with open_cache(redis_url, ttl_s=lambda: 30) as cache:
        yield cache


def a_key() -> str:
    return f"test:{uuid4()}"


async def timed(cache: Cache, key: str, load: Loader) -> float:
    """Seconds that one read took."""
    began = time.perf_counter()
    await cache.get_or_load(key, load)
    return time.perf_counter() - began


async def test_what_is_cached_is_not_loaded_again(cache: Cache) -> None:
    key, load = a_key(), Loader()
    assert [await cache.get_or_load(key, load) for _ in range(3)] == [b"1"] * 3


async def test_entries_live_for_the_ttl_less_a_jitter(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        for chance, ttl_s in ((0.0, 30.0), (1.0, 30 * (1 - JITTER))):
            key = a_key()
            await Cache(redis, ttl_s=lambda: 30, chance=lambda chance=chance: chance).get_or_load(key, Loader())  # type: ignore[misc]  # a default binds it
            assert 0 <= ttl_s * 1000 - await redis.pttl(key) < 1000


async def test_the_ttl_may_change_meanwhile(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        ttl_s, key = 30, a_key()
        cache = Cache(redis, ttl_s=lambda: ttl_s, chance=lambda: 0.0)
        await cache.get_or_load(a_key(), Loader())
        ttl_s = 300
        await cache.get_or_load(key, Loader())
        assert await redis.pttl(key) > 200_000


async def test_of_many_who_miss_at_once_one_loads(cache: Cache) -> None:
    key, calls, go = a_key(), 0, asyncio.Event()

    async def load() -> bytes:
        nonlocal calls
        calls += 1
        await go.wait()
        return b"x"

    readers = [asyncio.create_task(cache.get_or_load(key, load)) for _ in range(50)]
    readers[0].cancel()  # who started it leaves; the others get it all the same
    asyncio.get_running_loop().call_later(0.05, go.set)
    assert set((await asyncio.gather(*readers, return_exceptions=True))[1:]) == {b"x"}
    assert calls == 1


async def test_a_failure_reaches_all_who_wait_and_is_not_kept(cache: Cache) -> None:
    key = a_key()

    async def fail() -> bytes:
        raise LookupError

    results = await asyncio.gather(*(cache.get_or_load(key, fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 3
    assert await cache.get_or_load(key, Loader()) == b"1"


async def test_of_several_keys_only_the_missing_are_loaded(cache: Cache) -> None:
    known, new, unknown = a_key(), a_key(), a_key()
    await cache.get_or_load(known, Loader())
    asked: list[str] = []

    async def load(keys: Sequence[str]) -> Mapping[str, bytes]:
        asked.extend(keys)
        return {new: b"new"}

    assert await cache.get_or_load_many([known, new, unknown], load) == {known: b"1", new: b"new"}
    assert asked == [new, unknown]
    assert await cache.get_or_load(new, Loader()) == b"new"


@pytest.mark.parametrize("single_first", [True, False])
async def test_who_asks_for_one_and_who_asks_for_several_fare_each_in_their_way(
    cache: Cache, *, single_first: bool
) -> None:
    key = a_key()

    async def fail() -> bytes:
        raise LookupError

    async def leave_out(_: Sequence[str]) -> Mapping[str, bytes]:
        return {}

    asked = [cache.get_or_load(key, fail), cache.get_or_load_many([key], leave_out)]
    answers = await asyncio.gather(*(asked if single_first else reversed(asked)), return_exceptions=True)
    single, several = answers if single_first else reversed(answers)
    assert (type(single), several) == (LookupError, {})


def test_each_page_of_each_search_has_its_own_key() -> None:
    searches = [
        concert_query(),
        concert_query(page_size=5),
        concert_query(sort=Sort.TITLE),
        concert_query(text="jazz"),
        concert_query(city="jazz"),
        concert_query(available_only=True),
    ]
    assert len({page_key(query) for query in searches}) == len(searches)


async def test_a_dead_redis_costs_little_and_breaks_nothing() -> None:
    async with open_cache(f"redis://127.0.0.1:{unused_port()}", ttl_s=lambda: 30) as cache:
        load = Loader()
        assert median([await timed(cache, a_key(), load) for _ in range(6)]) < AT_WORST_S
        assert load.calls == 6
        with pytest.raises(RedisConnectionError):
            await cache.ping()


@asynccontextmanager
async def frozen_redis() -> AsyncIterator[str]:
    """Takes connections and commands, and never answers: what a stopped process does."""
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        release.set()
        server.close()
        await server.wait_closed()


async def test_a_frozen_redis_costs_a_read_its_budget_and_is_then_left_alone() -> None:
    async with frozen_redis() as url, open_cache(url, ttl_s=lambda: 30) as cache:
        load = Loader()
        first = [await timed(cache, a_key(), load) for _ in range(FAILURES_TO_OPEN)]
        later = [await timed(cache, a_key(), load) for _ in range(10)]
        assert median(first) < AT_WORST_S
        assert median(later) < BUDGET_S / 2
        assert load.calls == len(first + later)


async def test_a_frozen_redis_holds_up_no_crowd() -> None:
    async with frozen_redis() as url, open_cache(url, ttl_s=lambda: 30) as cache:
        load = Loader()
        waits = await asyncio.gather(*(timed(cache, a_key(), load) for _ in range(100)))
        assert max(waits) < 10 * AT_WORST_S  # a hundred times as long if each waited for those before it
        assert load.calls == 100


async def test_a_redis_that_comes_back_is_used_again(redis_url: str) -> None:
    port = unused_port()
    parts = urlsplit(redis_url)
    address = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
    async with open_cache(urlunsplit(parts._replace(netloc=address)), ttl_s=lambda: 30, left_alone_s=0.1) as cache:
        key, load = a_key(), Loader()
        for _ in range(FAILURES_TO_OPEN + 1):
            await cache.get_or_load(key, load)
        async with forwarding(port, parts.port or 6379):
            await until(lambda: load.calls, cache, key, load)
            calls = load.calls
            assert await cache.get_or_load(key, load) == str(calls).encode()
            assert load.calls == calls


async def until(calls: Callable[[], int], cache: Cache, key: str, load: Loader) -> None:
    """Returns once a read is answered without a call of the loader."""
    async with asyncio.timeout(8):
        while True:
            before = calls()
            await cache.get_or_load(key, load)
            if calls() == before:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def forwarding(port: int, target: int) -> AsyncIterator[None]:
    """Passes on all that comes to `port`."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
