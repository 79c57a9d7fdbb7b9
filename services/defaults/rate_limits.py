"""Where the rate limits of one instance are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from quart_rate_limiter.store import MemoryStore

MAX_KEYS: Final = 50_000  # some 10 MB


class BoundedStore(MemoryStore):
    """Theoretical arrival times in memory, as `MemoryStore` keeps them, but not for ever.

    A time that has passed limits nobody any more, so it can go; should more keys than `max_keys` still
    count, as in a flood from many addresses, the oldest go first.
    """

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self._max_keys = max_keys

    async def set(self, key: str, tat: datetime) -> None:
        """Keeps the time until which `key` has used up its rate."""
        self._tats.pop(key, None)  # back to the end: the oldest stand first
        self._tats[key] = tat
        if len(self._tats) > self._max_keys:
            self._make_room()

    def _make_room(self) -> None:
        now = datetime.now(UTC)
        counting = [(key, tat) for key, tat in self._tats.items() if tat > now]
        self._tats = dict(counting[-self._max_keys // 2 :])
