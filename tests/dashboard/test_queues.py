"""Queues, dead letters and replay, at a real RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.contracts import NOTIFICATIONS_DEAD_QUEUE, NOTIFICATIONS_QUEUE, NOTIFICATIONS_RETRY_QUEUE
from services.dashboard import queues as queues_module
from services.dashboard.queues import BrokerQueues, Queues, open_queues
from services.defaults.errors import Unavailable
from services.defaults.messaging import Broker, Delivery, open_broker
from services.defaults.work_queue import PermanentFailure, WorkQueue
from services.notifications.consumer import work_queue
from tests.dashboard.samples import TRACE_ID
from tests.defaults.rabbit import Wiring, has_depth, message, until


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[Broker]:
    async with open_broker(rabbitmq_url) as broker:
        yield broker


@pytest.fixture
async def queue(broker: Broker) -> WorkQueue:
    queue = Wiring().work_queue(1.0, 60.0)
    await broker.declare(queue.declare)
    await until(lambda: has_depth(broker, queue.dead_name, 0))
    return queue


async def bury(broker: Broker, queue: WorkQueue, *bodies: bytes) -> None:
    """Lets the worker give up on messages with these bodies."""

    async def refuse(delivery: Delivery) -> None:
        raise PermanentFailure(f"cannot read {delivery.body.decode('utf-8', 'replace')}")

    stop = asyncio.Event()
    before = await broker.depth(queue.dead_name)
    await broker.publish(queue.exchange, [message(body) for body in bodies])
    working = asyncio.create_task(broker.consume(queue.name, queue.with_retries(broker, refuse), prefetch=1, stop=stop))
    await until(lambda: has_depth(broker, queue.dead_name, before + len(bodies)))
    stop.set()
    await working


async def test_every_queue_is_named_with_its_depth_and_consumers(broker: Broker, queue: WorkQueue) -> None:
    queues = BrokerQueues(broker, queue)
    await broker.publish(queue.exchange, [message(b"one"), message(b"two")])
    work, soon, late, dead = await queues.state()
    assert (work.name, work.depth, work.consumers, work.dead) == (queue.name, 2, 0, False)
    assert [each.name for each in (soon, late)] == [queue.retry_queue(1.0), queue.retry_queue(60.0)]
    assert (dead.name, dead.depth, dead.dead) == (queue.dead_name, 0, True)

    async def handle(_delivery: Delivery) -> None:
        return

    stop = asyncio.Event()
    working = asyncio.create_task(broker.consume(queue.name, handle, prefetch=1, stop=stop))

    async def worked_on() -> bool:
        state = (await queues.state())[0]
        return (state.depth, state.consumers) == (0, 1)

    await until(worked_on)
    stop.set()
    await working


async def test_dead_letters_tell_their_reason_and_stay(broker: Broker, queue: WorkQueue) -> None:
    queues = BrokerQueues(broker, queue)
    await bury(broker, queue, b'{"id": "e-1"}', b"\xff not text")
    for _ in range(3):  # as often as one looks
        letters = await queues.dead_letters()
        assert [letter.payload for letter in letters] == ['{"id": "e-1"}', "\ufffd not text"]
    assert letters[0].reason == 'cannot read {"id": "e-1"}'
    assert (letters[0].type, letters[0].routing_key, letters[0].retries) == ("good.news.v1", "good.news", 0)
    assert letters[0].failed_at
    assert await broker.depth(queue.dead_name) == 2


async def test_one_letter_is_replayed_and_the_others_stay(broker: Broker, queue: WorkQueue) -> None:
    queues = BrokerQueues(broker, queue)
    await bury(broker, queue, b"one", b"two", b"three")
    letters = await queues.dead_letters()
    assert await queues.replay(letters[1].message_id) == 1
    assert await broker.depth(queue.name) == 1
    assert (await broker.peek(queue.name, 1))[0].body == b"two"
    left = await queues.dead_letters()
    assert [letter.payload for letter in left] == ["one", "three"]
    assert [letter.reason for letter in left] == ["cannot read one", "cannot read three"]
    assert await queues.replay(letters[1].message_id) == 0, "it has gone already"
    assert await queues.replay() == 2
    assert await queues.dead_letters() == []
    assert await broker.depth(queue.name) == 3


async def test_a_letter_keeps_its_trace(broker: Broker, queue: WorkQueue) -> None:
    traced = message(b"one")
    traced = type(traced)(**{**vars(traced), "headers": {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}})
    await broker.publish("", [type(traced)(**{**vars(traced), "routing_key": queue.dead_name})])
    (letter,) = await BrokerQueues(broker, queue).dead_letters()
    assert TRACE_ID in letter.traceparent


async def test_the_real_queues_are_those_of_notifications(rabbitmq_url: str, broker: Broker) -> None:
    delays_s = (2.5, 7.0)  # nobody else's at this broker
    async with open_queues(rabbitmq_url, delays_s) as queues:
        assert queues
        with pytest.raises(Unavailable):  # nobody has made them yet
            await queues.state()
        await broker.declare(work_queue(delays_s).declare)
        await until(lambda: are_there(queues))
        assert {queue.name for queue in await queues.state()} == {
            NOTIFICATIONS_QUEUE,
            f"{NOTIFICATIONS_RETRY_QUEUE}.2500",
            f"{NOTIFICATIONS_RETRY_QUEUE}.7000",
            NOTIFICATIONS_DEAD_QUEUE,
        }


async def are_there(queues: Queues) -> bool:
    """Whoever declares them does so once the broker is reached."""
    with contextlib.suppress(Unavailable):
        return bool(await queues.state())
    return False


async def test_a_broker_that_is_away_is_told_soon() -> None:
    async with open_queues("amqp://guest:guest@127.0.0.1:9/", [1.0]) as queues:
        assert queues
        async with asyncio.timeout(4):
            with pytest.raises(Unavailable):
                await queues.state()


async def test_a_look_does_not_wait_for_a_long_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def endless(*_: object) -> int:
        begun.set()
        return await asyncio.Future()

    monkeypatch.setattr(WorkQueue, "replay", endless)
    monkeypatch.setattr(queues_module, "PATIENCE_S", 0.05)
    async with open_queues("amqp://guest:guest@127.0.0.1:9/", [1.0]) as queues:
        assert queues
        replaying = asyncio.create_task(queues.replay())
        await begun.wait()
        for look in (queues.state, queues.dead_letters):
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable, match="busy"):
                    await look()
        replaying.cancel()


async def test_without_an_address_there_are_no_queues() -> None:
    async with open_queues("", [1.0]) as queues:
        assert queues is None
