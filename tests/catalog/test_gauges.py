"""The number of active holds, as it is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from services.catalog import gauges
from services.catalog.gauges import HoldGauge
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
