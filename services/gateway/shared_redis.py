"""The Redis that all gateways share. None of them needs it: while it is away, each goes by what it knows itself."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.defaults.redis import open_redis

logger = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_S: Final = 5.0  # how long a Redis that failed is left alone
TIMEOUT_S: Final = 0.2


class RedisAway(Exception):
    """Redis did not answer, or did not a moment ago."""


class SharedRedis:
    """Is left alone for a while after a failure, so that a frozen one holds a request up once, not at each step."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._away_until = 0.0

    async def do(self, work: Callable[[Redis], Awaitable[T]]) -> T:
        """What `work` gives. Raises `RedisAway`."""
        if self._clock() < self._away_until:
            raise RedisAway
        try:
            return await work(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = self._clock() + PAUSE_S
            logger.warning("Redis is away: this gateway goes by itself", extra={"reason": type(error).__name__})
            raise RedisAway from error


@asynccontextmanager
async def open_shared_redis(url: str) -> AsyncIterator[SharedRedis | None]:
    """The Redis at `url`, or none where that is empty."""
    if not url:
        yield None
        return
    async with open_redis(url, timeout_s=TIMEOUT_S) as redis:
        yield SharedRedis(redis)
