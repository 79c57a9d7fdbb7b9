"""Numbers of the business that no single request knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from services.catalog.domain import Left
from services.catalog.store.concerts import Concerts
from services.defaults.telemetry.polling import poll

EVERY_S: Final = 10.0
TICKETS_EVERY_S: Final = 30.0  # what is left of a list of concerts is costlier to count
MAX_CONCERTS: Final = 200  # the soonest: a metric is no place for a whole catalog

_meter = metrics.get_meter(__name__)
active_holds = _meter.create_gauge("holds.active", unit="{hold}", description="Holds whose lease runs")


class CountsHolds(Protocol):
    async def count_active_holds(self) -> int: ...


class CountsTickets(Protocol):
    async def count_left(self, limit: int) -> Sequence[Left]: ...


def gauges(store: Concerts) -> list[Callable[[asyncio.Event], Awaitable[None]]]:
    """What is to be counted beside the server."""
    return [HoldGauge(store).run, TicketGauge(store).run]


class HoldGauge:
    """Counts the active holds every so often."""

    def __init__(self, store: CountsHolds, *, every_s: float = EVERY_S) -> None:
        self._store = store
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        await poll(self._read, stop, every_s=self._every_s)

    async def _read(self) -> None:
        active_holds.set(await self._store.count_active_holds())


class TicketGauge:
    """Counts what is left of each concert on sale every so often; a concert that has begun is told of no longer."""

    def __init__(self, store: CountsTickets, *, every_s: float = TICKETS_EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._left: Sequence[Left] = ()
        # Observed and not set, for a number that was set once is told for ever.
        _meter.create_observable_gauge(
            "tickets.left",
            [self.observe],
            unit="{ticket}",
            description="Tickets that can be held, of the soonest concerts on sale",
        )

    async def run(self, stop: asyncio.Event) -> None:
        await poll(self._read, stop, every_s=self._every_s)

    async def _read(self) -> None:
        self._left = await self._store.count_left(MAX_CONCERTS)

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        """What the last count has found."""
        return [Observation(left.tickets, _concert(left)) for left in self._left]


def _concert(left: Left) -> dict[str, str]:
    return {"ticketflow.concert.id": str(left.concert_id), "ticketflow.concert.slug": left.slug}
