"""The broker's client against a real RabbitMQ, also while it restarts and freezes."""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from services.apphost.lifetime import start_part
from services.apphost.ports import free_ports
from services.apphost.process import Process
from services.apphost.servers.rabbitmq import RabbitPorts, rabbitmq
from services.apphost.servers.rabbitmq import rabbitmq_url as amqp_url
from services.defaults.errors import Unavailable
from services.defaults.messaging import Broker, Channel, Delivery, Message, Unroutable, open_broker
from services.defaults.work_queue import (
    FAILED_AT_HEADER,
    REASON_HEADER,
    RETRIES_HEADER,
    PermanentFailure,
    WorkQueue,
)

# RabbitMQ 3.10 writes which quorum queues it has to disk every 0.5 s: one killed earlier forgets a new queue's log.
REGISTERED_S = 1.5


@dataclass
class Wiring:
    """An exchange and a queue of one test's own."""

    exchange: str = field(default_factory=lambda: f"x.{secrets.token_hex(4)}")
    queue: str = field(default_factory=lambda: f"q.{secrets.token_hex(4)}")

    async def declare(self, channel: Channel) -> None:
        await channel.exchange_declare(self.exchange, exchange_type="topic", durable=True, timeout=5)
        await channel.queue_declare(
            self.queue, durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 20}, timeout=5
        )
        await channel.queue_bind(self.queue, self.exchange, "good.#", timeout=5)

    async def delete(self, channel: Channel) -> None:
        await channel.queue_delete(self.queue, timeout=5)

    def work_queue(self, *delays_s: float) -> WorkQueue:
        return WorkQueue(
            name=self.queue,
            exchange=self.exchange,
            routing_keys=("good.#",),
            retry_name=f"{self.queue}.retry",
            dead_name=f"{self.queue}.dead",
            delays_s=delays_s,
        )


@dataclass
class Inbox:
    """A handler that keeps what it gets, and fails while `failing` says so."""

    got: list[Delivery] = field(default_factory=list)
    failing: Callable[[Delivery], Exception | None] = lambda _: None

    async def handle(self, delivery: Delivery) -> None:
        self.got.append(delivery)
        if (error := self.failing(delivery)) is not None:
            raise error

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.got]


def message(body: bytes, key: str = "good.news") -> Message:
    return Message(body=body, routing_key=key, message_id=secrets.token_hex(8), type="good.news.v1")


async def until(done: Callable[[], bool | Awaitable[bool]], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            outcome = done()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.05)


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


async def test_keeps_the_order_and_waits_for_confirms_together(broker: Broker, wiring: Wiring) -> None:
    await broker.publish(wiring.exchange, [])
    started = time.monotonic()
    await broker.publish(wiring.exchange, [message(str(n).encode()) for n in range(500)])
    assert time.monotonic() - started < 2.0  # one by one it would take longer
    inbox = Inbox()
    assert await broker.drain(wiring.queue, inbox.handle) == 500
    assert inbox.bodies == [str(n).encode() for n in range(500)]


async def test_a_message_without_a_queue_is_an_error(broker: Broker, wiring: Wiring) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(wiring.exchange, [message(b"x", key="bad.news"), message(b"y")])
    assert await broker.depth(wiring.queue) == 1  # its neighbour arrived
    await broker.publish(wiring.exchange, [message(b"z")])  # and the channel lives


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
    await until(lambda: _has_depth(broker, wiring.queue, 1))  # the other one stays for the next worker


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
    await until(lambda: _has_depth(broker, wiring.queue, 1))


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
    await until(lambda: _has_depth(broker, queue.dead_name, 1))
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
    await until(lambda: _has_depth(broker, queue.dead_name, 1), 3)
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
    await until(lambda: _has_depth(broker, queue.dead_name, 1))
    assert (await peek(broker, queue.dead_name)).headers["x-first-death-reason"] == "delivery_limit"


async def test_without_a_broker_calls_fail_in_time_and_stopping_is_quick() -> None:
    (port,) = free_ports(1)
    started = time.monotonic()
    async with open_broker(f"amqp://a:b@127.0.0.1:{port}/") as broker:
        with pytest.raises(Unavailable):
            await broker.ping()
        assert time.monotonic() - started < 1
        with pytest.raises(Unavailable):
            await broker.publish("x", [message(b"x")])
    assert 4.5 < time.monotonic() - started < 7


class OwnRabbit:
    """A broker of this test's own, to be killed and frozen."""

    def __init__(self, folder: Path) -> None:
        amqp, epmd, nodes = free_ports(3)
        self.url = amqp_url(amqp, "secret")
        self._mapper, self._broker = rabbitmq(folder, RabbitPorts(amqp=amqp, epmd=epmd, nodes=nodes), "secret")
        self._processes: dict[str, Process] = {}

    async def start(self) -> None:
        for part in (self._mapper, self._broker):
            if part.name not in self._processes:
                process = await start_part(part, lambda _: None)
                assert process is not None
                self._processes[part.name] = process

    async def kill(self) -> None:
        process = self._processes.pop("rabbitmq")
        process.kill()
        await process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        for process in reversed(self._processes.values()):
            process.kill()
            await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self._processes["rabbitmq"].pid, number)


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


async def peek(broker: Broker, queue: str) -> Delivery:
    """The first message of a queue, which stays there."""
    inbox = Inbox(failing=lambda _: LookupError("enough"))
    with pytest.raises(LookupError):
        await broker.drain(queue, inbox.handle)
    await until(lambda: _has_depth(broker, queue, 1))
    return inbox.got[0]


async def _has_depth(broker: Broker, queue: str, depth: int) -> bool:
    return await broker.depth(queue) == depth


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
