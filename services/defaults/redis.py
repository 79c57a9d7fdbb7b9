"""A Redis that nobody waits long for: every use of it here is one that can be done without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECTIONS: Final = 20


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float) -> AsyncIterator[Redis]:
    """The Redis at `url`, which is connected to when it is first asked.

    `timeout_s` bounds each wait: for a place among the connections, for a connection, for an answer. Without such
    bounds a frozen one costs a caller a minute, for redis-py waits long, and tries again.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    async with Redis(connection_pool=pool) as redis:
        try:
            yield redis
        finally:
            await pool.aclose()
