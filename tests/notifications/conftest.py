"""The worker among real servers: RabbitMQ, Redis, and the mailbox's SMTP server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.apphost.ports import free_ports
from services.contracts import EXCHANGE, OrderEvent, encode
from services.defaults.messaging import Broker, Delivery, Message, open_broker
from services.defaults.work_queue import WorkQueue
from services.mailbox.domain import Summary
from services.mailbox.smtp import smtp_server
from services.mailbox.store import MailStore
from services.notifications.consumer import handler, work_queue
from services.notifications.mail import Composer
from services.notifications.mailer import Mailer
from services.notifications.service import Notifier
from services.notifications.store import open_seen_events
from tests.defaults.rabbit import until

DELAYS_S = (0.3, 0.6, 1.2)


@dataclass(frozen=True)
class World:
    """What a test sees of the worker's surroundings; `smtp_port` answers only inside `post_office`."""

    broker: Broker
    queue: WorkQueue
    mails: MailStore
    smtp_port: int

    async def publish(self, *events: tuple[OrderEvent, str]) -> None:
        """Publishes events, each with its id, as ordering's relay does."""
        at = datetime.now(UTC)
        await self.publish_raw(*(encode(event, event_id=event_id, time=at) for event, event_id in events))

    async def publish_raw(self, *bodies: bytes, key: str = "order.created.v1") -> None:
        messages = [Message(body=body, routing_key=key, message_id=f"m-{number}") for number, body in enumerate(bodies)]
        await self.broker.publish(EXCHANGE, messages)

    @contextlib.asynccontextmanager
    async def post_office(self) -> AsyncIterator[None]:
        async with smtp_server(self.mails, "127.0.0.1", self.smtp_port, max_bytes=10_000_000):
            yield

    @contextlib.asynccontextmanager
    async def worker(self, redis_url: str) -> AsyncIterator[None]:
        """The worker, in this process; stops as it does on SIGTERM."""
        composer = Composer(mail_from="TicketFlow <tickets@shop.test>", public_url="https://shop.test")
        mailer = Mailer(host="127.0.0.1", port=self.smtp_port)
        stop = asyncio.Event()
        async with open_seen_events(redis_url, keep_s=60) as seen:
            notifier = Notifier(composer=composer, mailer=mailer, seen=seen, now=lambda: datetime.now(UTC))
            handle = self.queue.with_retries(self.broker, handler(notifier))
            task = asyncio.create_task(self.broker.consume(self.queue.name, handle, prefetch=8, stop=stop))
            try:
                yield
            finally:
                stop.set()
                await asyncio.wait_for(task, 15)

    async def mailed(self, count: int, timeout_s: float = 15) -> list[Summary]:
        """The mails, once there are `count` and nothing is left to do; more than that fails the test."""
        await until(lambda: len(self.mails.newest_first()) >= count, timeout_s)
        await until(self._is_idle, timeout_s)
        mails = self.mails.newest_first()
        assert len(mails) == count
        return mails

    async def dead(self, count: int) -> list[Delivery]:
        """Takes the dead letters away, once there are `count`."""
        await until(lambda: self.has_dead(count))
        letters: list[Delivery] = []

        async def take(letter: Delivery) -> None:
            letters.append(letter)

        await self.broker.drain(self.queue.dead_name, take)
        return letters

    async def _is_idle(self) -> bool:
        await asyncio.sleep(0.3)
        names = [self.queue.name, *(self.queue.retry_queue(delay_s) for delay_s in DELAYS_S)]
        return sum([await self.broker.depth(name) for name in names]) == 0

    async def has_dead(self, count: int) -> bool:
        return await self.broker.depth(self.queue.dead_name) == count


async def _ignore(_: Delivery) -> None:
    """Takes a message off a queue."""


@pytest.fixture
async def world(rabbitmq_url: str, tmp_path: Path) -> AsyncIterator[World]:
    (port,) = free_ports(1)
    queue = work_queue(DELAYS_S)
    async with open_broker(rabbitmq_url) as broker:
        await broker.declare(queue.declare)
        for name in (queue.name, queue.dead_name):  # an earlier test's
            await broker.drain(name, _ignore)
        yield World(broker, queue, MailStore(tmp_path / "mails"), port)
