"""Password hashing that cannot starve the service: argon2id (RFC 9106) in a few threads of its own."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from services.defaults.errors import Unavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HashingCost:
    """The parameters of argon2id: memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


@dataclass(frozen=True)
class Verdict:
    """Whether a password matches, and whether its hash was made with other parameters than today's."""

    matches: bool
    outdated: bool = False


class PasswordHasher:
    """Hashes and checks passwords, `concurrency` at a time, with at most `queue` callers waiting.

    Every method raises `Unavailable` where the queue is full: turning a login away at once is kinder than
    letting it wait beyond its deadline, and leaves the processor to the rest of the shop.
    """

    def __init__(self, cost: HashingCost, *, concurrency: int = 2, queue: int = 40) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="argon2")
        self._turn = asyncio.Semaphore(concurrency)
        self._places = concurrency + queue
        # For accounts that do not exist: the same work with the same parameters takes the same time.
        self._decoy = self._argon2.hash(secrets.token_urlsafe(32))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The PHC string of a password, with a salt of its own."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Checks a password against a PHC string; None stands for an account that does not exist.

        argon2 compares in constant time, and None takes as long as a wrong password.
        """
        verdict = await self._run(lambda: self._verify(stored or self._decoy, password))
        return verdict if stored else Verdict(matches=False)

    def _verify(self, stored: str, password: str) -> Verdict:
        try:
            self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return Verdict(matches=False)
        except (VerificationError, InvalidHashError):
            logger.exception("stored password hash is unreadable")
            return Verdict(matches=False)
        return Verdict(matches=True, outdated=self._argon2.check_needs_rehash(stored))

    async def _run(self, work: Callable[[], T]) -> T:
        async with self._place(), self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places == 0:
            raise Unavailable("Too many people are logging in just now. Try again in a moment.", retry_after_s=1)
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1
