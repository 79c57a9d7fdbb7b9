"""The numbers of the catalog, as they are reported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from uuid import uuid4

import pytest
from opentelemetry.metrics import CallbackOptions

from services.catalog import gauges
from services.catalog.domain import Left
from services.catalog.gauges import HoldGauge, TicketGauge
from services.defaults.errors import Unavailable


class Readings:
    """In place of the gauge and of the store: what is counted, and what is reported of it."""

    def __init__(self, counts: Iterable[int | Unavailable]) -> None:
        self._counts = iter(counts)
        self.reported: list[int] = []
        self.all_read = asyncio.Event()

    async def count_active_holds(self) -> int:
        count = next(self._counts, None)
        if count is None:
            self.all_read.set()
            raise Unavailable("No more.")
        if isinstance(count, Unavailable):
            raise count
        return count

    def set(self, value: int) -> None:
        self.reported.append(value)


async def test_it_counts_until_told_to_stop_and_outlives_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = Readings([3, Unavailable("Away."), 5])
    monkeypatch.setattr(gauges, "active_holds", readings)
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(HoldGauge(readings, every_s=0.001).run(stop))
        await readings.all_read.wait()
        stop.set()
    assert readings.reported == [3, 5]


class Concerts:
    """In place of the store: what is left, count by count; then it is away."""

    def __init__(self, counts: Sequence[Sequence[Left]]) -> None:
        self._counts = iter(counts)
        self.all_read = asyncio.Event()

    async def count_left(self, limit: int) -> Sequence[Left]:
        if (left := next(self._counts, None)) is not None:
            return left
        self.all_read.set()
        raise Unavailable("No more.")


async def test_a_concert_that_has_begun_is_told_of_no_longer() -> None:
    begun, coming = Left(uuid4(), "begun", 3), Left(uuid4(), "coming", 5)
    concerts = Concerts([[begun, coming], [coming]])
    gauge = TicketGauge(concerts, every_s=0.001)
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(gauge.run(stop))
        await concerts.all_read.wait()
        stop.set()
    assert [each.value for each in gauge.observe(CallbackOptions())] == [5]
