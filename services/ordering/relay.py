"""The relay: brings what stands in the outbox to the broker. Any number of them may run.

It is woken by NOTIFY and looks by itself as well. A crash between publishing and marking publishes again
after the lease, which consumers recognise by the event's id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from services.contracts import CONTENT_TYPE, EXCHANGE
from services.defaults.database import Database
from services.defaults.errors import AppError, Unavailable
from services.defaults.messaging import Broker, Channel, Message, Unroutable
from services.defaults.outages import is_news
from services.defaults.telemetry import as_attributes, work_span
from services.ordering.store import outbox
from services.ordering.store.outbox import Staged

BATCH: Final = 200
PUBLISH_TIMEOUT_S: Final = 8.0
LEASE_S: Final = 10.0  # longer than a publication may take: else another relay could overtake this one
POLL_S: Final = 1.0
GATHER_S: Final = 0.1  # a batch costs the same statements for one event as for those of a tenth of a second

logger = logging.getLogger(__name__)


async def declare_exchange(channel: Channel) -> None:
    """What the relay publishes to; the queues are their consumers' business."""
    await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)


class Relay:
    """`reached` is told each step that a crash may fall behind."""

    def __init__(
        self,
        db: Database,
        broker: Broker,
        *,
        poll_s: float = POLL_S,
        lease_s: float = LEASE_S,
        reached: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._db = db
        self._broker = broker
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._reached = reached
        self._woken = asyncio.Event()
        self._unroutable = 0  # batches in a row with such events

    async def run(self, stop: asyncio.Event) -> None:
        """Relays until `stop` is set; what fails is tried again."""
        await self._broker.declare(declare_exchange)
        async with self._db.listen(outbox.CHANNEL, self._woken.set):
            failures = 0
            while not stop.is_set():
                self._woken.clear()
                try:
                    await self._drain(stop)
                except AppError as error:
                    failures += 1
                    if is_news(failures):
                        logger.warning("relay waits", extra={"reason": error.code, "failures": failures})
                    await _first_of(self._poll_s, stop)  # new events do not make an absent broker answer
                else:
                    failures = 0
                    await _first_of(self._poll_s, stop, self._woken)
                    await _first_of(GATHER_S, stop)

    async def relay_batch(self) -> int:
        """Publishes one batch; how many events that were.

        What the broker confirmed is marked. What it did not is anybody's again at once, and Unavailable is raised.
        An event that has no queue yet rests until its lease is over, and only later ones of its order with it.
        """
        staged = await outbox.claim_batch(self._db, BATCH, self._lease_s)
        if not staged:
            return 0
        with work_span("relay outbox", map(_trace, staged), **{"messaging.batch.message_count": len(staged)}):
            await self._relay(staged)
        return len(staged)

    async def _relay(self, staged: Sequence[Staged]) -> None:
        self._reached("relay.claimed")
        outcomes = list(zip(staged, await self._publish(staged), strict=True))
        if taken := [each.id for each, failure in outcomes if failure is None]:
            self._reached("relay.published")
            await outbox.mark_published(self._db, taken)
        self._tell_of_unroutable([each.type for each, failure in outcomes if isinstance(failure, Unroutable)])
        missed = {each.id: failure for each, failure in outcomes if failure and not isinstance(failure, Unroutable)}
        if missed:
            await outbox.release_claims(self._db, list(missed))
            raise next(iter(missed.values()))

    async def _publish(self, staged: Sequence[Staged]) -> Sequence[Unavailable | None]:
        """What went wrong with each event; None where the broker has it."""
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                return await self._broker.publish_each(EXCHANGE, [_message(each) for each in staged])
        except TimeoutError:
            return [Unavailable("The broker did not answer in time.")] * len(staged)
        except Unavailable as error:
            return [error] * len(staged)

    def _tell_of_unroutable(self, types: Sequence[str]) -> None:
        self._unroutable = self._unroutable + 1 if types else 0
        if types and is_news(self._unroutable):
            logger.warning("events have no queue", extra={"types": sorted(set(types)), "events": len(types)})

    async def _drain(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and await self.relay_batch():
            pass


def _trace(staged: Staged) -> dict[str, str]:
    """The trace of whatever made the event true."""
    return {"traceparent": staged.traceparent} if staged.traceparent else {}


def _message(staged: Staged) -> Message:
    return Message(
        body=staged.payload,
        routing_key=staged.type,
        message_id=str(staged.event_id),
        type=staged.type,
        trace=_trace(staged),
        about=as_attributes({"order_id": staged.order_id}),
        timestamp=staged.created_at,
        content_type=CONTENT_TYPE,
    )


async def _first_of(timeout_s: float, *events: asyncio.Event) -> None:
    """Returns when one of the events is set, or after `timeout_s` seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
