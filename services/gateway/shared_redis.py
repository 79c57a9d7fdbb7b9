"""The Redis that all gateways share. None of them needs it: while it is away, each goes by what it knows itself."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

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
async def open_redis(redis_url: str) -> AsyncIterator[SharedRedis | None]:
    """The Redis at `redis_url`, or none where that is empty."""
    if not redis_url:
        yield None
        return
    # Without these bounds a frozen Redis would hold a login for a minute.
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=20,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    async with Redis(connection_pool=pool) as redis:
        yield SharedRedis(redis)
    await pool.disconnect()
