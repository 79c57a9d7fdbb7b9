"""Which events have been mailed: a memory in Redis, which may be away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.defaults.redis import open_redis

logger = logging.getLogger(__name__)

KEY: Final = "notifications:seen:"  # and the event's id
SENT: Final = b"sent"
# Only one's own claim goes: once it has lapsed, the key may be another's claim or mark.
RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"
TIMEOUT_S: Final = 0.2  # a frozen Redis may cost a mail no more than this, each time it is asked
CLAIM_S: Final = 20  # longer than a mail may take; a worker that died with a claim delays its mail so long
POLL_S: Final = 0.2

T = TypeVar("T")


class Claim(Enum):
    """What the memory says of an event that is about to be mailed."""

    OURS = "ours"
    SENT = "sent"
    UNKNOWN = "unknown"  # the memory is away: mailing twice is better than not at all


class SeenEvents:
    """Remembers events by id; every failure of Redis is an answer, never an error."""

    def __init__(self, redis: Redis, *, keep_s: int) -> None:
        self._redis = redis
        self._keep_s = keep_s

    async def claim(self, event_id: str, token: str) -> Claim:
        """Takes the event for the try named `token`, waiting while another is at it (CLAIM_S at most)."""
        key = KEY + event_id
        try:
            while not await self._redis.set(key, token, nx=True, ex=CLAIM_S):
                if await self._redis.get(key) == SENT:
                    return Claim.SENT
                await asyncio.sleep(POLL_S)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("sent mails cannot be looked up", extra={"reason": type(error).__name__})
            return Claim.UNKNOWN
        return Claim.OURS

    async def mark_sent(self, event_id: str) -> None:
        """Remembers that the mail server has taken the event's mail."""
        await self._quietly(self._redis.set(KEY + event_id, SENT, ex=self._keep_s))

    async def release(self, event_id: str, token: str) -> None:
        """Gives the claim of `token` back, so that the next try need not wait for it to lapse."""
        await self._quietly(self._redis.eval(RELEASE, 1, KEY + event_id, token))

    async def ping(self) -> None:
        """Raises when Redis does not answer; for health."""
        await self._redis.echo(b"ping")

    async def _quietly(self, command: Awaitable[T]) -> None:
        try:
            await command
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("a sent mail cannot be noted", extra={"reason": type(error).__name__})


@asynccontextmanager
async def open_seen_events(url: str, *, keep_s: int) -> AsyncIterator[SeenEvents]:
    """The memory at `url`; opening it needs no Redis yet."""
    async with open_redis(url, timeout_s=TIMEOUT_S) as redis:
        yield SeenEvents(redis, keep_s=keep_s)
