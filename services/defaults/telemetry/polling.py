"""Numbers that no request knows of, such as how long a queue is: looked at every so often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.defaults.errors import Unavailable
from services.defaults.telemetry.scope import untraced

logger = logging.getLogger(__name__)


async def poll(read: Callable[[], Awaitable[None]], stop: asyncio.Event, *, every_s: float) -> None:
    """Calls `read` until `stop` is set. That what it reads is away is no news from here: health tells that."""
    while not stop.is_set():
        try:
            with untraced(), suppress(Unavailable):  # its health says so, and the last numbers stay
                await read()
        except Exception:
            logger.exception("numbers not read")  # no reason for the process to end
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await stop.wait()
