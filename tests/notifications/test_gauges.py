"""How long the queues are, as it is reported of a real broker."""

import asyncio

import pytest

from services.notifications import gauges
from services.notifications.gauges import QueueGauge
from tests.defaults.rabbit import until
from tests.notifications.conftest import DELAYS_S, World


class Readings:
    """In place of the gauge: the last value of each queue."""

    def __init__(self) -> None:
        self.depths: dict[tuple[str, str], int] = {}

    def set(self, value: int, attributes: dict[str, str]) -> None:
        self.depths[attributes["messaging.destination.name"], attributes["role"]] = value


async def test_every_queue_is_told_with_its_role(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    readings, stop, queue = Readings(), asyncio.Event(), world.queue
    monkeypatch.setattr(gauges, "depth", readings)
    async with asyncio.TaskGroup() as group:
        group.create_task(QueueGauge(world.broker, queue, every_s=0.05).run(stop))
        await world.publish_raw(b"one", b"two")
        await until(lambda: readings.depths.get((queue.name, "work")) == 2)
        stop.set()
    retries = {(queue.retry_queue(delay_s), "retry") for delay_s in DELAYS_S}
    assert readings.depths.keys() == {(queue.name, "work"), (queue.dead_name, "dead"), *retries}
