"""The broker's queues: how deep, who works on them, what could not be done, and putting that back to work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from services.contracts import (
    EVENT_TYPES,
    EXCHANGE,
    NOTIFICATIONS_DEAD_QUEUE,
    NOTIFICATIONS_QUEUE,
    NOTIFICATIONS_RETRY_QUEUE,
)
from services.defaults.errors import Unavailable
from services.defaults.messaging import Broker, Delivery, open_broker
from services.defaults.work_queue import (
    FAILED_AT_HEADER,
    REASON_HEADER,
    RETRIES_HEADER,
    ROUTING_KEY_HEADER,
    WorkQueue,
)

MAX_LETTERS: Final = 50
# A look takes the letters out for a moment and counts as a delivery: it is made when their number changes, or
# after so many seconds, not for each reader.
FRESH_S: Final = 60.0
PATIENCE_S: Final = 2.0  # a page shows rather without them than late


@dataclass(frozen=True)
class Queue:
    """`job` says in words what the queue is for."""

    name: str
    job: str
    depth: int
    consumers: int
    dead: bool = False


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message that was given up, and why. `payload` is its body as text."""

    message_id: str
    type: str
    routing_key: str
    reason: str
    retries: int
    failed_at: datetime | None
    traceparent: str
    payload: str


class Queues(Protocol):
    """Every call raises `Unavailable` while the broker is away."""

    async def state(self) -> Sequence[Queue]: ...

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """The first `MAX_LETTERS`, the oldest first."""

    async def replay(self, message_id: str | None = None) -> int:
        """Puts one dead letter back to work, or all; returns how many."""


class BrokerQueues:
    """The queues of one work queue, at a broker."""

    def __init__(self, broker: Broker, queue: WorkQueue) -> None:
        self._broker = broker
        self._queue = queue
        self._turn = asyncio.Lock()  # what one look holds, another look or a replay would miss
        self._letters: Sequence[DeadLetter] = ()
        self._seen: tuple[int, float] = (0, 0.0)  # how many there were, and when

    async def state(self) -> Sequence[Queue]:
        async with _soon(), self._turn:
            return await asyncio.gather(*(self._state(*named) for named in self._names()))

    async def dead_letters(self) -> Sequence[DeadLetter]:
        async with _soon(), self._turn:
            depth = await self._broker.depth(self._queue.dead_name)
            count, looked_at = self._seen
            if depth != count or (depth and time.monotonic() - looked_at > FRESH_S):
                self._letters = [_letter(each) for each in await self._broker.peek(self._queue.dead_name, MAX_LETTERS)]
                self._seen = depth, time.monotonic()
            return self._letters

    async def replay(self, message_id: str | None = None) -> int:
        async with self._turn:
            self._seen = -1, 0.0
            return await self._queue.replay(self._broker, message_id)

    async def _state(self, name: str, job: str, dead: bool) -> Queue:
        state = await self._broker.state(name)
        return Queue(name, job, state.depth, state.consumers, dead)

    def _names(self) -> Sequence[tuple[str, str, bool]]:
        queue = self._queue
        return (
            (queue.name, "Mails to write and send", False),
            *((queue.retry_queue(each), f"To be tried again after {each:g} s", False) for each in queue.delays_s),
            (queue.dead_name, "Given up, waiting for you", True),
        )


@asynccontextmanager
async def open_queues(url: str, delays_s: Sequence[float]) -> AsyncIterator[Queues | None]:
    """The mails' queue at the broker at `url`; None without one. The delays are those of whoever made the queues."""
    if not url:
        yield None
        return
    queue = WorkQueue(
        name=NOTIFICATIONS_QUEUE,
        exchange=EXCHANGE,
        routing_keys=tuple(EVENT_TYPES),
        retry_name=NOTIFICATIONS_RETRY_QUEUE,
        dead_name=NOTIFICATIONS_DEAD_QUEUE,
        delays_s=tuple(delays_s),
    )
    async with open_broker(url) as broker:
        yield BrokerQueues(broker, queue)


@asynccontextmanager
async def _soon() -> AsyncIterator[None]:
    """Raises `Unavailable` where what is inside takes longer than `PATIENCE_S`."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError:
        raise Unavailable("The message broker is busy, or does not answer.") from None


def _letter(delivery: Delivery) -> DeadLetter:
    headers = delivery.headers
    retries = headers.get(RETRIES_HEADER)
    return DeadLetter(
        message_id=delivery.message_id,
        type=delivery.type,
        routing_key=str(headers.get(ROUTING_KEY_HEADER) or delivery.routing_key),
        reason=str(headers.get(REASON_HEADER) or "The worker died on it too often."),
        retries=retries if isinstance(retries, int) else 0,
        failed_at=_moment(headers.get(FAILED_AT_HEADER)),
        traceparent=str(headers.get("traceparent") or ""),
        payload=delivery.body.decode("utf-8", "replace"),
    )


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
