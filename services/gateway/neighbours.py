"""What one gateway was told a moment ago, for its neighbours that are about to ask the same, through Redis.

It is for what can be asked only once: a refresh token is spent by the first of two tabs, and the second may have
reached another gateway.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from redis.asyncio import Redis

from services.defaults.errors import AppError
from services.gateway.shared_redis import RedisAway, SharedRedis

T = TypeVar("T")

ANSWER_PREFIX: Final = "gateway:renewal:"
ENDED_PREFIX: Final = "gateway:ended:"
ASKING: Final = b"-"
KEPT_S: Final = 10  # as long as identity forgives a late twin, and as a gateway keeps an answer itself
ENDED_S: Final = 2 * KEPT_S  # one that was read here at its end is kept as long again
LOOK_S: Final = 0.05
LOOKS: Final = 60  # for what a neighbour is told; then we ask all the same


class Neighbours:
    """Answers about tokens, by the token's digest, for ten seconds.

    Each is sealed with a key made of the token itself and of our secret: whoever reads Redis can do nothing with it.
    Without Redis, or while it is away, every gateway asks for itself.
    """

    def __init__(self, redis: SharedRedis | None = None, secret: str = "") -> None:
        self._redis = redis
        self._secret = secret.encode()

    async def once(self, token: str, ask: Callable[[], Awaitable[str]]) -> str:
        """What a neighbour was told about `token`, or else what `ask` gives. Raises what `ask` raises."""
        name = ANSWER_PREFIX + _digest(token)
        told = self._unseal(token, await self._try(lambda redis: _find(redis, name), None))
        if told is not None:
            return told
        try:
            told = await ask()
        except AppError:
            await self._try(lambda redis: redis.delete(name), 0)  # nobody need wait for this
            raise
        sealed = self._seal(token, told)
        await self._try(lambda redis: redis.set(name, sealed, ex=KEPT_S), None)
        return told

    async def end(self, token: str) -> None:
        """From now on no gateway takes `token` from what was told."""
        name = ENDED_PREFIX + _digest(token)
        await self._try(lambda redis: redis.set(name, b"1", ex=ENDED_S), None)

    async def has_ended(self, token: str) -> bool:
        name = ENDED_PREFIX + _digest(token)
        return bool(await self._try(lambda redis: redis.exists(name), 0))

    async def _try(self, work: Callable[[Redis], Awaitable[T]], otherwise: T) -> T:
        if self._redis is None:
            return otherwise
        try:
            return await self._redis.do(work)
        except RedisAway:
            return otherwise

    def _seal(self, token: str, told: str) -> str:
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, told, self._key(token))

    def _unseal(self, token: str, sealed: bytes | str | None) -> str | None:
        if sealed is None:
            return None
        try:
            return (jwe.decrypt_compact(sealed, self._key(token)).plaintext or b"").decode()
        except (JoseError, ValueError):  # sealed with another secret, while ours is being changed
            return None

    def _key(self, token: str) -> OctKey:
        return OctKey.import_key(hmac.digest(self._secret, b"ticketflow renewal v1|" + _encoded(token), "sha256"))


async def _find(redis: Redis, name: str) -> bytes | str | None:
    """What is sealed under `name`, or none where it is for us to ask."""
    if await redis.set(name, ASKING, nx=True, ex=KEPT_S):
        return None
    for _ in range(LOOKS):
        found = await redis.get(name)
        if found != ASKING:
            return found
        await asyncio.sleep(LOOK_S)
    return None


def _digest(token: str) -> str:
    return hashlib.sha256(_encoded(token)).hexdigest()


def _encoded(token: str) -> bytes:
    return token.encode("utf-8", "replace")
