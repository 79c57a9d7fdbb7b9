"""Numbers of the outbox that no single request knows."""

from __future__ import annotations

import asyncio
from typing import Final

from opentelemetry import metrics

from services.defaults.database import Database
from services.defaults.telemetry.polling import poll
from services.ordering.store import outbox

EVERY_S: Final = 5.0

_meter = metrics.get_meter(__name__)
lag = _meter.create_gauge("outbox.lag", "s", "Age of the oldest event that is not published; 0 when all are")
depth = _meter.create_gauge("outbox.depth", "{event}", "Events that are not published")


class OutboxGauge:
    """Looks at the outbox apart from the relay, which is busy waiting when these numbers matter most."""

    def __init__(self, db: Database, *, every_s: float = EVERY_S) -> None:
        self._db = db
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        await poll(self._read, stop, every_s=self._every_s)

    async def _read(self) -> None:
        lag.set(await outbox.select_lag_s(self._db))
        depth.set(await outbox.count_unpublished(self._db))
