"""The memory of mailed events, with Redis and without."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.notifications import store
from services.notifications.store import Claim, SeenEvents, open_seen_events


@pytest.fixture
async def seen(redis_url: str) -> AsyncIterator[SeenEvents]:
    async with open_seen_events(redis_url, keep_s=60) as seen:
        yield seen


@pytest.fixture
def event_id() -> str:
    return f"evt-{secrets.token_hex(6)}"


async def test_a_sent_event_is_remembered(seen: SeenEvents, event_id: str, redis_url: str) -> None:
    assert await seen.claim(event_id, "one") is Claim.OURS
    await seen.mark_sent(event_id)
    assert await seen.claim(event_id, "another") is Claim.SENT
    async with Redis.from_url(redis_url) as redis:
        assert 0 < await redis.ttl(store.KEY + event_id) <= 60


async def test_of_two_workers_one_waits_and_learns(seen: SeenEvents, event_id: str) -> None:
    assert await seen.claim(event_id, "one") is Claim.OURS
    other = asyncio.create_task(seen.claim(event_id, "another"))
    await asyncio.sleep(0.3)
    assert not other.done()
    await seen.mark_sent(event_id)
    assert await asyncio.wait_for(other, 2) is Claim.SENT


async def test_a_released_claim_is_free_at_once(seen: SeenEvents, event_id: str) -> None:
    assert await seen.claim(event_id, "one") is Claim.OURS
    await seen.release(event_id, "one")
    assert await seen.claim(event_id, "another") is Claim.OURS


async def test_a_dead_worker_s_claim_lapses(seen: SeenEvents, event_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CLAIM_S", 1)
    assert await seen.claim(event_id, "one") is Claim.OURS
    assert await asyncio.wait_for(seen.claim(event_id, "another"), 10) is Claim.OURS


async def test_a_worker_that_comes_too_late_takes_nothing_from_the_one_after_it(
    seen: SeenEvents, event_id: str, redis_url: str
) -> None:
    assert await seen.claim(event_id, "frozen") is Claim.OURS
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(store.KEY + event_id)  # its claim lapsed meanwhile
        assert await seen.claim(event_id, "another") is Claim.OURS
        await seen.release(event_id, "frozen")
        assert await redis.get(store.KEY + event_id) == b"another"
    await seen.mark_sent(event_id)
    await seen.release(event_id, "frozen")
    assert await seen.claim(event_id, "third") is Claim.SENT


async def test_a_frozen_redis_costs_little(event_id: str) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_seen_events(f"redis://127.0.0.1:{port}/0", keep_s=60) as seen:
        started = time.monotonic()
        assert await seen.claim(event_id, "one") is Claim.UNKNOWN
        await seen.mark_sent(event_id)
        assert time.monotonic() - started < 3  # redis-py's own patience is 60 s
        with pytest.raises(Exception, match=r".+"):
            await seen.ping()
