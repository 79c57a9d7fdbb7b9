"""A queue whose messages are tried again with growing delays, and then put aside with the reason.

The waiting happens in the broker: one queue for each delay, whose messages expire back into the work queue.
So nothing is lost with the worker, and the messages behind a failing one flow on. A message that outlives its
tries, or that can never succeed, rests in the dead-letter queue until somebody replays it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import metrics

from services.defaults.amqp import TIMEOUT_S
from services.defaults.messaging import Broker, Channel, Delivery, Handler, Message, trace_of
from services.defaults.telemetry import note_error

logger = logging.getLogger(__name__)
_meter = metrics.get_meter(__name__)
_retried = _meter.create_counter("messages.retried", "{message}", "Messages sent to wait for another try")
_buried = _meter.create_counter("messages.dead_lettered", "{message}", "Messages put aside for somebody to look at")

RETRIES_HEADER: Final = "x-retries"  # how many delays a message has been through
REASON_HEADER: Final = "x-reason"  # why the last try failed
FAILED_AT_HEADER: Final = "x-failed-at"  # RFC 3339
ROUTING_KEY_HEADER: Final = "x-first-routing-key"
REASON_LIMIT: Final = 500  # characters
OUR_HEADERS: Final = frozenset({RETRIES_HEADER, REASON_HEADER, FAILED_AT_HEADER})
# What the broker notes on its own; sent along again it would tell of another message's life.
BROKER_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


class PermanentFailure(Exception):
    """Trying again cannot help. The text is kept with the dead letter."""


@dataclass(frozen=True, kw_only=True)
class WorkQueue:
    """The names and rules of one work queue. `delays_s` are the waits before each further try, in seconds.

    `delivery_limit` bounds how often a message may be handed out without an answer: one that kills its worker
    each time ends among the dead letters, too.
    """

    name: str
    exchange: str
    routing_keys: tuple[str, ...]
    retry_name: str
    dead_name: str
    delays_s: tuple[float, ...]
    delivery_limit: int = 20

    async def declare(self, channel: Channel) -> None:
        """Declares exchange, queues and bindings; safe to repeat. Changed delays make queues of new names."""
        await channel.exchange_declare(self.exchange, exchange_type="topic", durable=True, timeout=TIMEOUT_S)
        await _declare_quorum(channel, self.dead_name, {})
        await _declare_quorum(
            channel, self.name, {"x-delivery-limit": self.delivery_limit, **_overflow_to(self.dead_name)}
        )
        for delay_s in self.delays_s:
            ttl = {"x-message-ttl": round(delay_s * 1000)}
            await _declare_quorum(channel, self.retry_queue(delay_s), ttl | _overflow_to(self.name))
        for key in self.routing_keys:
            await channel.queue_bind(self.name, self.exchange, key, timeout=TIMEOUT_S)

    def retry_queue(self, delay_s: float) -> str:
        """The name of the queue in which messages wait `delay_s` seconds."""
        return f"{self.retry_name}.{round(delay_s * 1000)}"

    def with_retries(self, broker: Broker, handler: Handler) -> Handler:
        """`handler` made to consume this queue: a failure sends the message to wait, or to the dead letters.

        The message is published there before it is acknowledged here, so a crash in between duplicates it.
        """

        async def handle(delivery: Delivery) -> None:
            try:
                await handler(delivery)
            except PermanentFailure as failure:
                note_error(type(failure.__cause__ or failure).__name__, is_fault=True)
                await self._bury(broker, delivery, str(failure))
            except Exception as failure:
                note_error(type(failure).__name__, is_fault=True)
                await self._postpone(broker, delivery, f"{type(failure).__name__}: {failure}")

        return handle

    async def replay(self, broker: Broker, message_id: str | None = None) -> int:
        """Puts the present dead letters back to work with all their tries; returns how many.

        With a `message_id` only those of that id: each of the others goes to the end of its queue, once round.
        """
        revived = 0

        async def revive(delivery: Delivery) -> None:
            nonlocal revived
            if message_id is not None and delivery.message_id != message_id:
                await broker.publish("", [_copy(delivery, self.dead_name, _own(delivery))])
                return
            headers = {key: value for key, value in _own(delivery).items() if key not in OUR_HEADERS}
            await broker.publish("", [replace(_copy(delivery, self.name, headers), trace=trace_of(delivery))])
            revived += 1

        await broker.drain(self.dead_name, revive)
        return revived

    async def _postpone(self, broker: Broker, delivery: Delivery, reason: str) -> None:
        retries = retries_of(delivery)
        if retries >= len(self.delays_s):
            await self._bury(broker, delivery, reason)
            return
        delay_s = self.delays_s[retries]
        logger.warning(
            "message is tried again later",
            extra={"id": delivery.message_id, "delay_s": delay_s, "retries": retries, "reason": reason},
        )
        _retried.add(1, {"messaging.destination.name": self.name})
        headers = {RETRIES_HEADER: retries + 1, **_failure(reason)}
        await broker.publish("", [_copy(delivery, self.retry_queue(delay_s), _own(delivery) | headers)])

    async def _bury(self, broker: Broker, delivery: Delivery, reason: str) -> None:
        _buried.add(1, {"messaging.destination.name": self.name})
        logger.error("message is a dead letter", extra={"id": delivery.message_id, "reason": reason})
        await broker.publish("", [_copy(delivery, self.dead_name, _own(delivery) | _failure(reason))])


def retries_of(delivery: Delivery) -> int:
    """How many delays the message has been through."""
    retries = delivery.headers.get(RETRIES_HEADER)
    return retries if isinstance(retries, int) else 0


def _failure(reason: str) -> dict[str, Any]:
    return {REASON_HEADER: reason[:REASON_LIMIT], FAILED_AT_HEADER: datetime.now(UTC).isoformat()}


def _own(delivery: Delivery) -> dict[str, Any]:
    headers = {key: value for key, value in delivery.headers.items() if not key.startswith(BROKER_HEADERS)}
    return {ROUTING_KEY_HEADER: delivery.routing_key} | headers


def _copy(delivery: Delivery, queue: str, headers: dict[str, Any]) -> Message:
    return Message(
        body=delivery.body,
        routing_key=queue,
        message_id=delivery.message_id,
        type=delivery.type,
        headers=headers,
        timestamp=delivery.timestamp,
        content_type=delivery.content_type,
    )


def _overflow_to(queue: str) -> dict[str, Any]:
    """Arguments that move what a queue gives up to another, which must confirm it first."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # the strategy demands it
    }


async def _declare_quorum(channel: Channel, queue: str, arguments: dict[str, Any]) -> None:
    await channel.queue_declare(
        queue, durable=True, arguments={"x-queue-type": "quorum", **arguments}, timeout=TIMEOUT_S
    )
