"""Numbers of the business that no single request knows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from opentelemetry import metrics

from services.defaults.errors import Unavailable

EVERY_S: Final = 10.0

active_holds = metrics.get_meter(__name__).create_gauge(
    "holds.active", unit="{hold}", description="Holds whose lease runs"
)


class CountsHolds(Protocol):
    async def count_active_holds(self) -> int: ...


class HoldGauge:
    """Counts the active holds every so often; a database that is away is no news from here."""

    def __init__(self, store: CountsHolds, *, every_s: float = EVERY_S) -> None:
        self._store = store
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(Unavailable):
                active_holds.set(await self._store.count_active_holds())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await stop.wait()
