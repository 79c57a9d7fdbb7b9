"""The loop that finishes what crashes and outages left half done, and forgets what is old."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from services.defaults.errors import AppError
from services.ordering.service.deps import Deps
from services.ordering.service.recover import expire_orders, prune, recover_payments, release_tickets

PRUNE_S: Final = 300.0

Work = Callable[[Deps], Awaitable[int]]

logger = logging.getLogger(__name__)


class Recovery:
    """Looks for work, then pauses for `interval_s()` seconds; any number of instances may do so."""

    def __init__(self, deps: Deps, *, interval_s: Callable[[], float]) -> None:
        self._deps = deps
        self._interval_s = interval_s
        self._prune_at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._round(stop)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._interval_s())

    async def recover_once(self) -> int:
        """One look at everything that may be owed; how many pieces of work there were."""
        return sum([await self._do(work) for work in (recover_payments, expire_orders, release_tickets)])

    async def _round(self, stop: asyncio.Event) -> None:
        while not stop.is_set() and await self.recover_once():
            pass
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_S
            while not stop.is_set() and await self._do(prune):
                pass

    async def _do(self, work: Work) -> int:
        """How many pieces of work there were; what fails keeps nothing else from its turn."""
        try:
            return await work(self._deps)
        except AppError as error:
            logger.warning("recovery waits", extra={"work": work.__name__, "reason": error.code})
        except Exception:
            logger.exception("recovery failed", extra={"work": work.__name__})
        return 0
