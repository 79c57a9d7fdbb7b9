"""How long the queues of this worker are."""

from __future__ import annotations

import asyncio
from typing import Final

from opentelemetry import metrics

from services.defaults.amqp import connection_errors
from services.defaults.messaging import Broker
from services.defaults.telemetry.polling import poll
from services.defaults.work_queue import WorkQueue

EVERY_S: Final = 10.0

depth = metrics.get_meter(__name__).create_gauge(
    "queue.depth", "{message}", "Messages that wait for a worker, for another try, or for somebody to look at"
)


class QueueGauge:
    def __init__(self, broker: Broker, queue: WorkQueue, *, every_s: float = EVERY_S) -> None:
        self._broker = broker
        self._every_s = every_s
        retries = {queue.retry_queue(delay_s): "retry" for delay_s in queue.delays_s}
        self._roles = {queue.name: "work", **retries, queue.dead_name: "dead"}

    async def run(self, stop: asyncio.Event) -> None:
        await poll(self._read, stop, every_s=self._every_s)

    async def _read(self) -> None:
        for name, role in self._roles.items():
            with connection_errors():  # closing a channel of a broker that died may fail, too
                waiting = await self._broker.depth(name)
            depth.set(waiting, {"messaging.destination.name": name, "role": role})
