"""The loop that finishes what crashes and outages left half done, and forgets what is old."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.defaults.errors import AppError
from services.ordering.service.deps import Deps
from services.ordering.service.recover import prune, recover_once

PRUNE_S: Final = 300.0

logger = logging.getLogger(__name__)


class Recovery:
    """Looks for work, then pauses for `interval_s()` seconds; any number of instances may do so."""

    def __init__(self, deps: Deps, *, interval_s: Callable[[], float]) -> None:
        self._deps = deps
        self._interval_s = interval_s
        self._prune_at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._round()
            except AppError as error:
                logger.warning("recovery waits", extra={"reason": error.code})
            except Exception:
                # One broken order must not keep the loop from all the others.
                logger.exception("recovery failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._interval_s())

    async def _round(self) -> None:
        while await recover_once(self._deps):
            pass
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_S
            await prune(self._deps)
