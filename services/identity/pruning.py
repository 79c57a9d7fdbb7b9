"""Deleting, now and then, what expired long ago."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from services.defaults.errors import Unavailable

logger = logging.getLogger(__name__)


class Prunable(Protocol):
    async def prune(self, *, older_than_s: float) -> int:
        """Deletes what expired more than `older_than_s` seconds ago; how many rows."""


@dataclass(frozen=True)
class Pruner:
    """Deletes what expired over `history_s` seconds ago, every `interval_s` seconds.

    Several instances may do so at once: each deletes what the others have not.
    """

    store: Prunable
    interval_s: float
    history_s: float

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A database that is away only delays it."""
        while not stop.is_set():
            with suppress(Unavailable):  # logged where it is raised; the next round makes up for it
                deleted = await self.store.prune(older_than_s=self.history_s)
                logger.info("pruned", extra={"rows": deleted})
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.interval_s)
