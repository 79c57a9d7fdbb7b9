"""How often one address, account or person may do the costly or guessable things.

The route's own limit counts requests; these count what a request does, which only the resolver knows.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from opentelemetry import metrics
from redis.asyncio import Redis

from services.defaults.errors import RateLimited
from services.gateway.shared_redis import RedisAway, SharedRedis

_limited = metrics.get_meter("services.gateway").create_counter(
    "requests.limited", "{request}", "Requests refused because somebody tried too often, by what was tried"
)

KEY_PREFIX: Final = "gateway:limit:"
MAX_WINDOWS: Final = 50_000


class Act(StrEnum):
    """What is limited, and for whom."""

    REGISTER_ADDRESS = "register_address"
    LOGIN_ADDRESS = "login_address"
    LOGIN_ACCOUNT = "login_account"
    REFRESH_ADDRESS = "refresh_address"
    ORDER_PERSON = "order_person"


@dataclass(frozen=True)
class Rate:
    """`count` times in any one window of `period_s` seconds."""

    count: int
    period_s: int


class Counter(Protocol):
    async def count(self, key: str, period_s: int) -> tuple[int, float]:
        """Counts one more under `key`: how many now, and the seconds until the count starts anew."""


class MemoryCounter:
    """Counts within this process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    async def count(self, key: str, period_s: int) -> tuple[int, float]:
        now = self._clock()
        ends, counted = self._windows.get(key, (0.0, 0))
        if ends <= now:
            self._make_room(now)
            ends, counted = now + period_s, 0
        self._windows[key] = (ends, counted + 1)
        return counted + 1, ends - now

    def _make_room(self, now: float) -> None:
        if len(self._windows) < MAX_WINDOWS:
            return
        self._windows = {key: window for key, window in self._windows.items() if window[0] > now}
        while len(self._windows) >= MAX_WINDOWS:  # all are alive: the oldest gives way
            del self._windows[next(iter(self._windows))]


class RedisCounter:
    """Counts for all instances together. While Redis is away each instance counts for itself.

    quart-rate-limiter's own Redis store reads and then writes, so guesses made in parallel would pass it;
    INCR does not.
    """

    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis
        self._fallback = MemoryCounter()

    async def count(self, key: str, period_s: int) -> tuple[int, float]:
        try:
            return await self._redis.do(lambda redis: _count_in(redis, KEY_PREFIX + key, period_s))
        except RedisAway:
            return await self._fallback.count(key, period_s)


async def _count_in(redis: Redis, key: str, period_s: int) -> tuple[int, float]:
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.set(key, 0, ex=period_s, nx=True)
        pipeline.incr(key)
        pipeline.pttl(key)
        _, counted, left_ms = await pipeline.execute()
    return int(counted), max(int(left_ms), 0) / 1000


def counter_in(redis: SharedRedis | None) -> Counter:
    """A counter for all instances, or for this process where there is no Redis."""
    return MemoryCounter() if redis is None else RedisCounter(redis)


class Limiter:
    """Enforces rates, which may change meanwhile. What has none is not limited."""

    def __init__(self, counter: Counter, rates: Callable[[], Mapping[Act, Rate]]) -> None:
        self._counter = counter
        self._rates = rates

    async def spend(self, act: Act, whom: str) -> None:
        """Counts one `act` of `whom`. Raises `RateLimited`, with the wait, once it is too many."""
        rate = self._rates().get(act)
        if rate is None:
            return
        # Hashed: an account's name is a person's e-mail address, and any length.
        digest = hashlib.sha256(whom.encode("utf-8", "replace")).hexdigest()[:32]
        counted, left_s = await self._counter.count(f"{act}:{digest}", rate.period_s)
        if counted > rate.count:
            _limited.add(1, {"act": str(act)})
            sentence = "That was tried too often. Wait a little, then try again."
            raise RateLimited(sentence, retry_after_s=max(1, math.ceil(left_s)))
