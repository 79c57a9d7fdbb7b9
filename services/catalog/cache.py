"""Cache-aside in Redis: what many people read is computed once in half a minute.

Redis is a convenience here. Where it is down, or takes commands and answers none, the database answers: no
read waits for it longer than `BUDGET_S`, and after a few failures it is left alone for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar, cast
from uuid import UUID

from opentelemetry import metrics
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.catalog.search import ConcertQuery
from services.defaults.redis import open_redis

BUDGET_S: Final = 0.2
ANSWER_S: Final = 0.15
FAILURES_TO_OPEN: Final = 3
LEFT_ALONE_S: Final = 5.0
JITTER: Final = 0.2  # of the lifetime: entries made together do not all end together

AWAY: Final = (RedisError, OSError, TimeoutError, OpenedState)
PREFIX: Final = "catalog:1:"  # raise the number when the meaning of what is stored changes

T = TypeVar("T")
Flight = tuple[str, ...]
"""For one key or for several, which fare differently where there is nothing to load, and the keys."""
LoadMany = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]]

requests = metrics.get_meter(__name__).create_counter(
    "catalog.cache.requests", unit="{key}", description="Keys asked for, by result: hit, miss or away"
)


def id_key(concert_id: UUID) -> str:
    return f"{PREFIX}concert:{concert_id}"


def slug_key(slug: str) -> str:
    return f"{PREFIX}slug:{slug}"


def page_key(query: ConcertQuery) -> str:
    page = f"{query.digest}:{query.page_size}:{query.after}"
    return f"{PREFIX}page:{hashlib.sha256(page.encode()).hexdigest()}"


class Cache:
    """Bytes by key. Of several who miss the same key at once in this process, one loads it for all."""

    def __init__(
        self,
        redis: Redis,
        *,
        ttl_s: Callable[[], float],
        left_alone_s: float = LEFT_ALONE_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._chance = chance
        # A caller who gives up says nothing about Redis.
        self._breakers = AsyncCircuitBreakerFactory(FAILURES_TO_OPEN, left_alone_s, exclude=[asyncio.CancelledError])
        self._flights: dict[Flight, asyncio.Task[Mapping[str, bytes]]] = {}

    async def get_or_load(self, key: str, load: Callable[[], Awaitable[bytes]]) -> bytes:
        """The value of `key`, from `load` where it is not cached; what `load` raises is not cached."""

        async def load_one(_: Sequence[str]) -> Mapping[str, bytes]:
            return {key: await load()}

        return (await self._fly(("one", key), [key], load_one))[key]

    async def get_or_load_many(self, keys: Sequence[str], load: LoadMany) -> Mapping[str, bytes]:
        """The values of `keys`; those not cached come from one call of `load`, which may leave some out."""
        return await self._fly(("several", *keys), keys, load)

    async def _fly(self, flight: Flight, keys: Sequence[str], load: LoadMany) -> Mapping[str, bytes]:
        task = self._flights.get(flight)
        if task is None:
            task = self._flights[flight] = asyncio.create_task(self._fetch(keys, load))
            task.add_done_callback(lambda done: self._land(flight, done))
        # Shielded: who started the flight may leave, the others still want its fruit.
        return await asyncio.shield(task)

    async def ping(self) -> None:
        """Raises where Redis does not answer."""
        async with asyncio.timeout(BUDGET_S):
            await self._redis.ping()

    def _land(self, flight: Flight, done: asyncio.Task[Mapping[str, bytes]]) -> None:
        del self._flights[flight]
        if not done.cancelled():
            done.exception()  # seen, even where everybody has left meanwhile

    async def _fetch(self, keys: Sequence[str], load: LoadMany) -> Mapping[str, bytes]:
        cached = await self._read(keys)
        found = {key: value for key, value in zip(keys, cached or (), strict=False) if value is not None}
        missing = [key for key in keys if key not in found]
        _count(hits=len(found), others=len(missing), result="away" if cached is None else "miss")
        if not missing:
            return found
        loaded = await load(missing)
        if cached is not None:
            await self._write(loaded)
        return {**found, **loaded}

    async def _read(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """A value or None for each key; nothing where Redis is away."""
        return cast("list[bytes | None] | None", await self._ask(lambda: self._redis.mget(keys)))

    async def _write(self, values: Mapping[str, bytes]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in values.items():
            lifetime_s = self._ttl_s() * (1 - JITTER * self._chance())
            pipeline.set(key, value, px=max(1, round(lifetime_s * 1000)))
        await self._ask(pipeline.execute)

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """The command's answer; nothing where Redis is away."""
        breaker = await self._breakers.get_breaker("redis")
        try:
            async with breaker, asyncio.timeout(BUDGET_S):
                return await command()
        except AWAY as error:
            # An open breaker raises one and the same object each time, whose traceback would grow without end.
            error.__traceback__ = None
            return None


@asynccontextmanager
async def open_cache(
    url: str, *, ttl_s: Callable[[], float], left_alone_s: float = LEFT_ALONE_S
) -> AsyncIterator[Cache]:
    """A cache in the Redis at `url`, whose entries live for `ttl_s()` seconds at most. Connects when first asked.

    A Redis that keeps failing is not asked for `left_alone_s`.
    """
    async with open_redis(url, timeout_s=ANSWER_S) as redis:
        yield Cache(redis, ttl_s=ttl_s, left_alone_s=left_alone_s)


def _count(*, hits: int, others: int, result: str) -> None:
    if hits:
        requests.add(hits, {"result": "hit"})
    if others:
        requests.add(others, {"result": result})
