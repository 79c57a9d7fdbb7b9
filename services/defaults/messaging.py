"""The broker: publishing with confirms, and consuming, over a connection that heals itself (`amqp.py`).

    async with open_broker(url) as broker:
        await broker.declare(topology)
        await broker.publish("exchange", [Message(...)])
        await broker.consume("queue", handler, prefetch=20, stop=stop)

Retries and dead letters are built on this in `work_queue.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiormq.abc import AbstractChannel as Channel
from aiormq.abc import AbstractConnection, DeliveredMessage
from pamqp.commands import Basic

from services.defaults.amqp import (
    BACK_OFF_MAX_S,
    TIMEOUT_S,
    Link,
    Topology,
    Unroutable,
    connection_errors,
    reason,
)
from services.defaults.errors import Unavailable
from services.defaults.outages import back_off_s, is_news
from services.defaults.telemetry import consumer_span, inject_trace, producer_span

__all__ = ["Broker", "Channel", "Delivery", "Handler", "Message", "QueueState", "Topology", "Unroutable", "open_broker"]

logger = logging.getLogger(__name__)

GIVE_BACK_S: Final = 1.0
NACK_PAUSE_S: Final = 1.0  # a message that fails at once must not spin through its delivery limit
PERSISTENT: Final = 2
TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})  # W3C Trace Context


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is published. `message_id` lets consumers recognise a duplicate; `type` names what the body is.

    `trace` holds the headers of the trace that it belongs to; empty: the present one. `about` are attributes of
    its span.
    """

    body: bytes
    routing_key: str
    message_id: str
    type: str = ""
    trace: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    timestamp: datetime | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message as a consumer gets it. `attempts` counts earlier deliveries that were never acknowledged."""

    body: bytes
    routing_key: str
    message_id: str
    type: str
    headers: Mapping[str, Any]
    attempts: int
    timestamp: datetime | None
    content_type: str


@dataclass(frozen=True)
class QueueState:
    """`depth` counts the messages that are ready, not those in the hands of a consumer."""

    depth: int
    consumers: int


Handler = Callable[[Delivery], Awaitable[None]]


class Broker:
    """A broker that may be away: calls wait a few seconds for it and then raise Unavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def declare(self, topology: Topology) -> None:
        """Runs `topology` on a channel: now or once there is a connection, and after every reconnect."""
        await self._link.declare(topology)

    async def publish(self, exchange: str, messages: Sequence[Message]) -> None:
        """Publishes all messages persistently and waits until the broker has confirmed every one.

        The order of `messages` is kept. Raises Unroutable when a message fits no queue, and Unavailable when
        any was not confirmed; then some may have arrived all the same, so that a repetition may duplicate.
        """
        failures = [outcome for outcome in await self.publish_each(exchange, messages) if outcome]
        if failures:
            raise min(failures, key=lambda failure: not isinstance(failure, Unroutable))

    async def publish_each(self, exchange: str, messages: Sequence[Message]) -> Sequence[Unavailable | None]:
        """Publishes as `publish` does; for each message what went wrong, None where the broker has confirmed it.

        Raises Unavailable when there is no broker to publish to.
        """
        if not messages:
            return []
        session = await self._link.session()
        # Confirms are waited for together: one by one the broker manages hundreds a second, so thousands.
        return await asyncio.gather(*(_outcome(session.publisher, exchange, each) for each in messages))

    async def consume(self, queue: str, handler: Handler, *, prefetch: int, stop: asyncio.Event | None = None) -> None:
        """Hands the messages of `queue` to `handler`, at most `prefetch` at once, across reconnects.

        A handler that returns acknowledges; one that raises gives the message back to the queue. Returns once
        `stop` is set and the handlers in flight have ended; cancelling ends them unfinished, and their
        messages are delivered again.
        """
        stop = stop or asyncio.Event()
        failures = 0
        while not stop.is_set():
            try:
                session = await self._link.session()
            except Unavailable:
                continue  # the link says so, and has waited
            began = time.monotonic()
            try:
                await _Subscription(queue, handler, prefetch).run(session.connection, stop)
            except Unavailable as error:
                failures = 1 if time.monotonic() - began > TIMEOUT_S else failures + 1
                if is_news(failures):
                    logger.warning("consumer waits for the broker", extra={"queue": queue, "reason": reason(error)})
                await _first(stop.wait(), asyncio.sleep(back_off_s(failures, BACK_OFF_MAX_S)))

    async def depth(self, queue: str) -> int:
        """How many messages are ready in `queue`. Raises Unavailable when there is no such queue."""
        return (await self.state(queue)).depth

    async def state(self, queue: str) -> QueueState:
        """What the broker tells of `queue`. Raises Unavailable when there is no such queue."""
        async with self._link.own_channel() as channel:
            with connection_errors():
                answer = await channel.queue_declare(queue, passive=True, timeout=TIMEOUT_S)
            return QueueState(answer.message_count or 0, answer.consumer_count or 0)

    async def peek(self, queue: str, limit: int) -> list[Delivery]:
        """The first `limit` messages of `queue`, which all stay. Meanwhile nobody else can get them."""
        found: list[Delivery] = []
        async with self._link.own_channel() as channel:  # its end gives back whatever was not acknowledged
            while len(found) < limit:
                with connection_errors():
                    message = await channel.basic_get(queue, timeout=TIMEOUT_S)
                if message.delivery_tag is None:
                    break
                found.append(_delivery(message))
        await self._until_given_back(queue, len(found))
        return found

    async def _until_given_back(self, queue: str, count: int) -> None:
        """A quorum queue has its messages back only a moment after the channel's end; a drain would miss them."""
        with contextlib.suppress(TimeoutError):  # or somebody else has taken them meanwhile
            async with asyncio.timeout(GIVE_BACK_S):
                while await self.depth(queue) < count:  # noqa: ASYNC110 - what happens at the broker sets no Event
                    await asyncio.sleep(GIVE_BACK_S / 50)

    async def drain(self, queue: str, handler: Handler) -> int:
        """Hands each message that is in `queue` now to `handler`, one after the other; returns how many.

        A handler that raises ends the drain; its message and the rest stay.
        """
        waiting = await self.depth(queue)
        async with self._link.own_channel() as channel:
            for done in range(waiting):
                with connection_errors():
                    message = await channel.basic_get(queue, timeout=TIMEOUT_S)
                if message.delivery_tag is None:
                    return done
                await handler(_delivery(message))
                with connection_errors():
                    await channel.basic_ack(message.delivery_tag)
        return waiting

    async def ping(self) -> None:
        """Raises Unavailable unless the broker answers; used for health."""
        await self._link.ping()


class _Subscription:
    """One consumer on one channel; each delivery is handled in a task of its own.

    The tasks are ours, not aiormq's, which would cancel them with the channel: work that has begun is
    finished even if the broker has gone meanwhile, and its redelivery is then a known duplicate.
    """

    def __init__(self, queue: str, handler: Handler, prefetch: int) -> None:
        self._queue = queue
        self._handler = handler
        self._prefetch = prefetch
        self._in_flight: set[asyncio.Task[None]] = set()
        self._dropped = asyncio.Event()  # the broker took the subscription away: the queue was deleted

    async def run(self, connection: AbstractConnection, stop: asyncio.Event) -> None:
        """Consumes until `stop` is set; raises Unavailable when the subscription is lost before."""
        with connection_errors():
            channel = await connection.channel(publisher_confirms=False, timeout=TIMEOUT_S)
        try:
            with connection_errors():
                await self._subscribe_until(channel, stop)
            await asyncio.gather(*self._in_flight)
        finally:
            for task in self._in_flight:
                task.cancel()
            await channel.close()  # what has not been acknowledged goes back to the queue
        if not stop.is_set():
            raise Unavailable(f"The subscription to {self._queue} was lost.")

    async def _subscribe_until(self, channel: Channel, stop: asyncio.Event) -> None:
        channel.on_consumer_cancel_callbacks.add(lambda _: self._dropped.set())
        await channel.basic_qos(prefetch_count=self._prefetch, timeout=TIMEOUT_S)
        consuming = await channel.basic_consume(self._queue, self._receive, timeout=TIMEOUT_S)
        await _first(stop.wait(), self._dropped.wait(), asyncio.wait([channel.closing]))
        if not channel.is_closed and consuming.consumer_tag:
            await channel.basic_cancel(consuming.consumer_tag, timeout=TIMEOUT_S)

    async def _receive(self, message: DeliveredMessage) -> None:
        task = asyncio.create_task(self._settle(message))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _settle(self, message: DeliveredMessage) -> None:
        tag = message.delivery_tag
        if tag is None:  # it is no delivery at all; aiormq's type allows for it
            return
        delivery = _delivery(message)
        accepted = await self._handle(delivery)
        try:
            with connection_errors():
                if accepted:
                    await message.channel.basic_ack(tag)
                else:
                    await message.channel.basic_nack(tag, requeue=True)
        except Unavailable:
            logger.warning("acknowledgement lost", extra={"queue": self._queue, "id": delivery.message_id})

    async def _handle(self, delivery: Delivery) -> bool:
        try:
            with consumer_span(self._queue, delivery.type, trace_of(delivery), message_attributes(delivery)):
                await self._handler(delivery)
        except Exception:
            logger.exception("message not handled", extra={"queue": self._queue, "id": delivery.message_id})
            await asyncio.sleep(NACK_PAUSE_S)
            return False
        return True


@asynccontextmanager
async def open_broker(url: str) -> AsyncIterator[Broker]:
    """A supervised connection to RabbitMQ at `url` (amqp://user:password@host:port/vhost).

    Does not wait for the broker: a service starts, and serves what it can, while it is away.
    """
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it logs each lost connection with a trace; we do too
    link = Link(url)
    supervisor = asyncio.create_task(link.supervise(), name="broker supervisor")
    try:
        yield Broker(link)
    finally:
        supervisor.cancel()
        await asyncio.wait([supervisor])


async def _outcome(channel: Channel, exchange: str, message: Message) -> Unavailable | None:
    try:
        await _publish(channel, exchange, message)
    except Unavailable as error:
        return error
    return None


async def _publish(channel: Channel, exchange: str, message: Message) -> None:
    about = {**message_attributes(message), **message.about}
    with producer_span(exchange, message.routing_key, message.trace, about), connection_errors():
        await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=message.routing_key,
            properties=_properties(message),
            mandatory=True,  # without it the broker confirms what it has dropped
            timeout=TIMEOUT_S,
        )


def _properties(message: Message) -> Basic.Properties:
    return Basic.Properties(
        content_type=message.content_type,
        delivery_mode=PERSISTENT,
        headers={**message.headers, **inject_trace()},
        message_id=message.message_id,
        message_type=message.type or None,
        timestamp=message.timestamp or datetime.now(UTC),
    )


def _delivery(message: DeliveredMessage) -> Delivery:
    properties = message.header.properties
    headers: dict[str, Any] = dict(properties.headers or {})
    attempts = headers.get("x-delivery-count")  # kept by quorum queues
    return Delivery(
        body=message.body,
        routing_key=message.routing_key or "",
        message_id=properties.message_id or "",
        type=properties.message_type or "",
        headers=headers,
        attempts=attempts if isinstance(attempts, int) else 0,
        timestamp=properties.timestamp,
        content_type=properties.content_type or "",
    )


def message_attributes(message: Message | Delivery) -> dict[str, Any]:
    """What spans tell of a message: never what is in it."""
    return {"messaging.message.id": message.message_id, "messaging.message.body.size": len(message.body)}


def trace_of(delivery: Delivery) -> dict[str, str]:
    """The headers of the trace that the message belongs to."""
    return {key: value for key, value in delivery.headers.items() if key in TRACE_HEADERS and isinstance(value, str)}


async def _first(*waits: Awaitable[Any]) -> None:
    """Returns when the first of `waits` has; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
