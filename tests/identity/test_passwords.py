"""Hashing: right, bounded, and as slow for nobody as for somebody."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time

import argon2
import pytest

from services.defaults.errors import Unavailable
from services.identity.passwords import HashingCost, PasswordHasher, Verdict

OWASP = HashingCost(memory_kib=19 * 1024, passes=2, lanes=1)
PASSWORD = "correct horse battery"


async def test_a_hash_is_argon2id_with_the_parameters_asked_for() -> None:
    with PasswordHasher(OWASP) as hasher:
        stored = await hasher.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in stored


async def test_only_the_right_password_matches(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    assert stored != await hasher.hash(PASSWORD)  # each has a salt of its own
    assert await hasher.verify(stored, PASSWORD) == Verdict(matches=True)
    assert await hasher.verify(stored, PASSWORD + " ") == Verdict(matches=False)
    assert await hasher.verify(None, PASSWORD) == Verdict(matches=False)


async def test_a_hash_of_other_parameters_matches_and_is_outdated(hasher: PasswordHasher) -> None:
    stored = argon2.PasswordHasher(time_cost=2, memory_cost=128, parallelism=1).hash(PASSWORD)
    assert await hasher.verify(stored, PASSWORD) == Verdict(matches=True, outdated=True)


async def test_an_unreadable_hash_matches_nothing_and_is_logged(
    hasher: PasswordHasher, caplog: pytest.LogCaptureFixture
) -> None:
    assert await hasher.verify("not a hash", PASSWORD) == Verdict(matches=False)
    assert "unreadable" in caplog.text
    assert PASSWORD not in caplog.text


async def test_an_unknown_account_takes_as_long_as_a_wrong_password() -> None:
    """Without the decoy it would be a thousand times faster; the bounds leave room for a busy machine."""
    with PasswordHasher(OWASP) as hasher:
        stored = await hasher.hash(PASSWORD)
        unknown, wrong = [], []
        for _ in range(9):
            unknown.append(await timed(hasher, None))
            wrong.append(await timed(hasher, stored))
    assert 0.1 < statistics.median(unknown) / statistics.median(wrong) < 10


async def timed(hasher: PasswordHasher, stored: str | None) -> float:
    started = time.perf_counter()
    await hasher.verify(stored, "a wrong password")
    return time.perf_counter() - started


class GatedHasher(PasswordHasher):
    """Hashes nothing until the gate opens, and notes how many calls are at work at most."""

    def __init__(self, *, concurrency: int, queue: int) -> None:
        super().__init__(HashingCost(64, 1, 1), concurrency=concurrency, queue=queue)
        self.gate = threading.Event()
        self.at_work = self.most_at_work = 0

    def _verify(self, stored: str, password: str) -> Verdict:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        self.gate.wait(10)
        self.at_work -= 1
        return Verdict(matches=True)


async def test_a_full_queue_turns_callers_away_at_once_and_serves_the_rest() -> None:
    with GatedHasher(concurrency=2, queue=3) as hasher:
        calls = [asyncio.create_task(hasher.verify("x", PASSWORD)) for _ in range(9)]
        await asyncio.sleep(0.1)
        refused = [call for call in calls if call.done()]
        hasher.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert len(refused) == 4
    assert outcomes.count(Verdict(matches=True)) == 5
    assert all(isinstance(call.exception(), Unavailable) for call in refused)
    assert hasher.most_at_work == 2


async def test_a_caller_that_gives_up_frees_its_place() -> None:
    with GatedHasher(concurrency=1, queue=0) as hasher:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hasher.verify("x", PASSWORD), 0.05)
        hasher.gate.set()
        assert await hasher.verify("x", PASSWORD) == Verdict(matches=True)
