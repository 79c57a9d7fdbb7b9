"""The broker's client against a real RabbitMQ, also while it restarts and freezes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from services.apphost.ports import free_ports
from services.defaults.errors import Unavailable
from services.defaults.messaging import Broker, Delivery, Unroutable, open_broker
from tests.defaults.rabbit import Inbox, OwnRabbit, Wiring, has_depth, message, until

# RabbitMQ 3.10 writes which quorum queues it has to disk every 0.5 s: one killed earlier forgets a new queue's log.
REGISTERED_S = 1.5


@contextlib.asynccontextmanager
async def consuming(broker: Broker, queue: str, inbox: Inbox, prefetch: int = 10) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(broker.consume(queue, inbox.handle, prefetch=prefetch, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


@pytest.fixture
async def broker(rabbitmq_url: str) -> AsyncIterator[Broker]:
    async with open_broker(rabbitmq_url) as broker:
        yield broker


@pytest.fixture
async def wiring(broker: Broker) -> Wiring:
    wiring = Wiring()
    await broker.declare(wiring.declare)
    return wiring


async def test_delivers_what_was_published(broker: Broker, wiring: Wiring) -> None:
    inbox = Inbox()
    sent = message(b"hello")
    await broker.publish(wiring.exchange, [sent])
    async with consuming(broker, wiring.queue, inbox):
        await until(lambda: len(inbox.got) == 1)
    (got,) = inbox.got
    assert (got.body, got.message_id, got.type) == (b"hello", sent.message_id, "good.news.v1")
    assert (got.routing_key, got.attempts, got.content_type) == ("good.news", 0, "application/json")
    assert await broker.depth(wiring.queue) == 0


async def test_keeps_the_order(broker: Broker, wiring: Wiring) -> None:
    await broker.publish(wiring.exchange, [])
    await broker.publish(wiring.exchange, [message(str(n).encode()) for n in range(500)])
    inbox = Inbox()
    assert await broker.drain(wiring.queue, inbox.handle) == 500
    assert inbox.bodies == [str(n).encode() for n in range(500)]


async def test_a_message_without_a_queue_is_an_error(broker: Broker, wiring: Wiring) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(wiring.exchange, [message(b"x", key="bad.news"), message(b"y")])
    assert await broker.depth(wiring.queue) == 1  # its neighbour arrived
    await broker.publish(wiring.exchange, [message(b"z")])  # and the channel lives


async def test_each_message_has_its_outcome(broker: Broker, wiring: Wiring) -> None:
    messages = [message(b"x"), message(b"y", key="bad.news"), message(b"z")]
    outcomes = await broker.publish_each(wiring.exchange, messages)
    assert [type(outcome) for outcome in outcomes] == [type(None), Unroutable, type(None)]
    inbox = Inbox()
    await broker.drain(wiring.queue, inbox.handle)
    assert inbox.bodies == [b"x", b"z"]
    outcomes = await broker.publish_each("no.such.exchange", messages)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3


async def test_an_exchange_that_is_missing_is_an_error_and_heals(broker: Broker, wiring: Wiring) -> None:
    with pytest.raises(Unavailable):
        await broker.publish("no.such.exchange", [message(b"x")])
    await broker.publish(wiring.exchange, [message(b"y")])
    assert await broker.depth(wiring.queue) == 1


async def test_a_handler_that_raises_gets_the_message_again(broker: Broker, wiring: Wiring) -> None:
    inbox = Inbox(failing=lambda delivery: ValueError("no") if delivery.attempts == 0 else None)
    await broker.publish(wiring.exchange, [message(b"again")])
    async with consuming(broker, wiring.queue, inbox):
        await until(lambda: len(inbox.got) == 2)
    assert [delivery.attempts for delivery in inbox.got] == [0, 1]
    assert await broker.depth(wiring.queue) == 0


async def test_stopping_finishes_what_is_in_flight(broker: Broker, wiring: Wiring) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    finished: list[bytes] = []

    async def slow(delivery: Delivery) -> None:
        begun.set()
        await go_on.wait()
        finished.append(delivery.body)

    await broker.publish(wiring.exchange, [message(b"1"), message(b"2")])
    stop = asyncio.Event()
    task = asyncio.create_task(broker.consume(wiring.queue, slow, prefetch=1, stop=stop))
    await asyncio.wait_for(begun.wait(), 5)
    stop.set()
    await asyncio.sleep(0.2)
    assert not task.done()
    go_on.set()
    await asyncio.wait_for(task, 5)
    assert finished == [b"1"]
    await until(lambda: has_depth(broker, wiring.queue, 1))  # the other one stays for the next worker


async def test_a_cancelled_consumer_gives_its_message_back(broker: Broker, wiring: Wiring) -> None:
    begun = asyncio.Event()

    async def hang(_: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    await broker.publish(wiring.exchange, [message(b"1")])
    task = asyncio.create_task(broker.consume(wiring.queue, hang, prefetch=1))
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: has_depth(broker, wiring.queue, 1))


async def test_a_consumer_survives_the_loss_of_its_queue(
    broker: Broker, wiring: Wiring, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    async with consuming(broker, wiring.queue, inbox):
        await broker.publish(wiring.exchange, [message(b"1")])
        await until(lambda: len(inbox.got) == 1)

        await broker.declare(wiring.delete)
        await until(lambda: "consumer waits for the broker" in caplog.messages)
        await broker.declare(wiring.declare)
        await until(lambda: _publishes(broker, wiring, b"2"))
        await until(lambda: inbox.bodies[-1] == b"2")
    assert set(inbox.bodies) == {b"1", b"2"}


async def test_the_trace_goes_along(broker: Broker, wiring: Wiring) -> None:
    tracer = TracerProvider().get_tracer("test")
    seen: list[int] = []

    async def note_trace(_: Delivery) -> None:
        seen.append(trace.get_current_span().get_span_context().trace_id)

    with tracer.start_as_current_span("caller") as span:
        await broker.publish(wiring.exchange, [message(b"1")])
    stop = asyncio.Event()
    task = asyncio.create_task(broker.consume(wiring.queue, note_trace, prefetch=1, stop=stop))
    await until(lambda: len(seen) == 1)
    stop.set()
    await task
    assert seen == [span.get_span_context().trace_id]


async def test_without_a_broker_calls_fail_in_time_and_stopping_is_quick() -> None:
    (port,) = free_ports(1)
    started = time.monotonic()
    async with open_broker(f"amqp://a:b@127.0.0.1:{port}/") as broker:
        with pytest.raises(Unavailable):
            await broker.ping()
        assert time.monotonic() - started < 3
        with pytest.raises(Unavailable):
            await broker.publish("x", [message(b"x")])
    assert 4.5 < time.monotonic() - started < 15


async def test_publisher_and_consumer_survive_a_restart_and_a_frozen_broker(tmp_path: Path) -> None:
    rabbit, wiring, inbox = OwnRabbit(tmp_path), Wiring(), Inbox()
    try:
        async with open_broker(rabbit.url) as broker:  # before there is any broker
            await broker.declare(wiring.declare)
            await rabbit.start()
            async with consuming(broker, wiring.queue, inbox):
                await until(lambda: _publishes(broker, wiring, b"first"))
                await until(lambda: b"first" in inbox.bodies)

                await asyncio.sleep(REGISTERED_S)
                await rabbit.kill()
                await rabbit.start()
                await until(lambda: _publishes(broker, wiring, b"after restart"), 15)
                await until(lambda: b"after restart" in inbox.bodies, 15)

                rabbit.freeze()
                started = time.monotonic()
                with pytest.raises(Unavailable):
                    await broker.publish(wiring.exchange, [message(b"maybe")])
                await until(lambda: _is_down(broker), 12)
                assert time.monotonic() - started < 12
                rabbit.thaw()
                await until(lambda: _publishes(broker, wiring, b"after thaw"), 15)
                await until(lambda: b"after thaw" in inbox.bodies, 15)
    finally:
        await rabbit.stop()


async def _publishes(broker: Broker, wiring: Wiring, body: bytes) -> bool:
    try:
        await broker.publish(wiring.exchange, [message(body)])
    except Unavailable:
        return False
    return True


async def _is_down(broker: Broker) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await broker.ping()
    except Unavailable:
        return True
    except TimeoutError:
        return False
    return False
