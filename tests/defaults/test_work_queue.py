"""Retries, dead letters and replay against a real RabbitMQ."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.defaults.messaging import Broker, Delivery, open_broker
from services.defaults.work_queue import (
    FAILED_AT_HEADER,
    REASON_HEADER,
    RETRIES_HEADER,
    PermanentFailure,
    WorkQueue,
)
from tests.defaults.rabbit import Inbox, Wiring, has_depth, message, peek, until


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[Broker]:
    async with open_broker(rabbitmq_url) as broker:
        yield broker


async def test_a_failing_message_is_tried_again_and_then_put_aside(broker: Broker) -> None:
    wiring = Wiring()
    queue = wiring.work_queue(0.2, 0.4)
    await broker.declare(queue.declare)
    inbox = Inbox(failing=lambda delivery: ValueError("broken") if delivery.body == b"bad" else None)
    times: list[float] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            times.append(time.monotonic())
        await inbox.handle(delivery)

    await broker.publish(wiring.exchange, [message(b"bad"), message(b"good")])
    stop = asyncio.Event()
    working = asyncio.create_task(broker.consume(queue.name, queue.with_retries(broker, handle), prefetch=1, stop=stop))
    await until(lambda: has_depth(broker, queue.dead_name, 1))
    assert inbox.bodies == [b"bad", b"good", b"bad", b"bad"]  # the good one did not wait behind it
    assert times[1] - times[0] >= 0.2
    assert times[2] - times[1] >= 0.4
    dead = await peek(broker, queue.dead_name)
    assert dead.headers[REASON_HEADER] == "ValueError: broken"
    assert dead.headers[RETRIES_HEADER] == 2
    assert FAILED_AT_HEADER in dead.headers

    inbox.failing = lambda _: None
    assert await queue.replay(broker) == 1
    await until(lambda: len(inbox.got) == 5)
    assert inbox.got[-1].headers.get(RETRIES_HEADER) is None  # it has all its tries again
    assert inbox.got[-1].message_id == inbox.got[0].message_id
    stop.set()
    await working
    assert await broker.depth(queue.dead_name) == 0


async def test_a_permanent_failure_is_put_aside_at_once(broker: Broker) -> None:
    wiring = Wiring()
    queue = wiring.work_queue(60.0)
    await broker.declare(queue.declare)
    inbox = Inbox(failing=lambda _: PermanentFailure("cannot be read"))
    await broker.publish(wiring.exchange, [message(b"poison")])
    stop = asyncio.Event()
    working = asyncio.create_task(
        broker.consume(queue.name, queue.with_retries(broker, inbox.handle), prefetch=1, stop=stop)
    )
    await until(lambda: has_depth(broker, queue.dead_name, 1), 3)
    stop.set()
    await working
    assert (await peek(broker, queue.dead_name)).headers[REASON_HEADER] == "cannot be read"
    assert len(inbox.got) == 1


async def test_a_message_that_kills_its_worker_ends_among_the_dead(broker: Broker) -> None:
    wiring = Wiring()
    queue = WorkQueue(**{**vars(wiring.work_queue(1.0)), "delivery_limit": 2})
    await broker.declare(queue.declare)
    await broker.publish(wiring.exchange, [message(b"deadly")])
    for _ in range(3):
        begun = asyncio.Event()

        async def die(_: Delivery, begun: asyncio.Event = begun) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(broker.consume(queue.name, die, prefetch=1))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: has_depth(broker, queue.dead_name, 1))
    assert (await peek(broker, queue.dead_name)).headers["x-first-death-reason"] == "delivery_limit"
