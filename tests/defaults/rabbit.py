"""What tests of messaging share: a broker's client, a wiring of one's own, and a RabbitMQ to maltreat."""

import asyncio
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.apphost.lifetime import start_part
from services.apphost.ports import free_ports
from services.apphost.process import Process
from services.apphost.servers.rabbitmq import RabbitPorts, rabbitmq
from services.apphost.servers.rabbitmq import rabbitmq_url as amqp_url
from services.defaults.messaging import Broker, Channel, Delivery, Message
from services.defaults.work_queue import WorkQueue


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


async def until(done: Callable[[], bool | Awaitable[bool]], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            outcome = done()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await asyncio.sleep(0.05)


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


async def peek(broker: Broker, queue: str) -> Delivery:
    """The first message of a queue, which stays there."""
    inbox = Inbox(failing=lambda _: LookupError("enough"))
    with pytest.raises(LookupError):
        await broker.drain(queue, inbox.handle)
    await until(lambda: has_depth(broker, queue, 1))
    return inbox.got[0]


async def has_depth(broker: Broker, queue: str, depth: int) -> bool:
    return await broker.depth(queue) == depth
