"""Faults in the middle of a sale: parts are killed, and come back by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.apphost.rush.progress import Progress
from services.apphost.sockets import ask

VICTIMS: Final = ("rabbitmq", "redis", "ordering")  # of a service with several instances the last one
LATEST_S: Final = 60.0  # after the doors opened: also a slow sale is struck
BACK_S: Final = 90.0
LOOK_S: Final = 0.25


@dataclass
class Outage:
    """From when to when a part was away, in seconds since the sale began; ``until_s`` is None if it never came back."""

    part: str
    from_s: float
    until_s: float | None = None

    def __str__(self) -> str:
        if self.until_s is None:
            return f"{self.part} did not come back"
        return f"{self.part} was away for {self.until_s - self.from_s:.1f} s"


async def find_victims(control: Path) -> list[str]:
    """The names of the parts to kill. Raises ApphostError where there is no control socket."""
    parts: list[dict[str, Any]] = (await asyncio.to_thread(ask, control, "GET", "/parts"))["parts"]
    last = {part["service"]: part["name"] for part in parts if part["managed"]}
    return [last[service] for service in VICTIMS if service in last]


class Chaos:
    """Kills its victims through the app host's control socket. ``down`` are those that are not back yet."""

    def __init__(self, control: Path, victims: Sequence[str], clock: Callable[[], float], progress: Progress) -> None:
        self._control = control
        self._victims = victims
        self._clock = clock
        self._progress = progress
        self.outages: list[Outage] = []

    @property
    def down(self) -> list[str]:
        return [outage.part for outage in self.outages if outage.until_s is None]

    @property
    def faults(self) -> list[str]:
        """What did not go as it should have."""
        if self._victims and not self.outages:
            return ["nothing was killed: the sale never came to its middle"]
        return [str(outage) for outage in self.outages if outage.until_s is None]

    async def run(self, middle: asyncio.Event) -> None:
        """Strike all at once when the event is set, or late, and return when all are back. Raises ApphostError."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(middle.wait(), LATEST_S)
        await asyncio.gather(*(self._strike(part) for part in self._victims))

    async def _strike(self, part: str) -> None:
        outage = Outage(part, self._clock())
        self.outages.append(outage)
        await self._ask("POST", f"/parts/{part}/kill")
        self._progress.note(f"{outage.from_s:5.1f} s  killed {part}")
        try:
            async with asyncio.timeout(BACK_S):
                while (await self._ask("GET", f"/parts/{part}"))["state"] != "running":  # noqa: ASYNC110 (another process sets no Event)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return
        outage.until_s = self._clock()
        self._progress.note(f"{outage.until_s:5.1f} s  {part} is back")

    async def _ask(self, method: str, path: str) -> Any:
        return await asyncio.to_thread(ask, self._control, method, path)
