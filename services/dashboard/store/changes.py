"""Telling those who watch that something new has been kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Literal

Kind = Literal["spans", "logs", "points"]


class Changes:
    """A counter for each kind, which grows when rows of it have been kept. For one event loop."""

    def __init__(self) -> None:
        self._versions: dict[Kind, int] = {"spans": 0, "logs": 0, "points": 0}
        self._changed = asyncio.Event()

    def version(self, kind: Kind) -> int:
        """Where the counter stands: read it before reading rows, so that none is missed between."""
        return self._versions[kind]

    async def wait(self, kind: Kind, seen: int) -> int:
        """The counter, as soon as it is another than `seen`. Many changes in one moment are one."""
        while self._versions[kind] == seen:
            await self._changed.wait()
        return self._versions[kind]

    def note(self, kinds: Collection[Kind]) -> None:
        """Rows of these kinds have been kept: wakes everybody who waits."""
        if not kinds:
            return
        for kind in kinds:
            self._versions[kind] += 1
        self._changed.set()
        self._changed = asyncio.Event()
