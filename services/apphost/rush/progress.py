"""What a rush shows while it runs: one line that changes in a terminal, whole lines elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TextIO

from services.apphost.rush.buyer import Outcome
from services.apphost.rush.gateway import Sample
from services.apphost.rush.stage import Level

TERMINAL_S: Final = 0.5
LINES_S: Final = 2.0
ERASE: Final = "\r\x1b[K"


class Parts(Protocol):
    """Of the shop; ``down`` names those that are away."""

    @property
    def down(self) -> Sequence[str]: ...


class Progress:
    """Writes to ``out``; ``terminal`` says whether lines there can be written over."""

    def __init__(self, out: TextIO, *, terminal: bool) -> None:
        self._out = out
        self._terminal = terminal

    def note(self, text: str) -> None:
        """A line that stays."""
        self._write(f"{ERASE if self._terminal else ''}{text}\n")

    async def run(
        self,
        levels: Sequence[Level],
        samples: Sequence[Sample],
        outcomes: Mapping[Outcome, int],
        buyers: int,
        parts: Parts,
    ) -> None:
        """Tells how it goes, from what others fill in meanwhile, until cancelled."""
        pause_s = TERMINAL_S if self._terminal else LINES_S
        answered = 0
        while True:
            await asyncio.sleep(pause_s)
            per_s, answered = (len(samples) - answered) / pause_s, len(samples)
            if levels:
                line = describe(levels[-1], outcomes, buyers, per_s, parts.down)
                self._write(f"{ERASE}{line}" if self._terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def describe(level: Level, outcomes: Mapping[Outcome, int], buyers: int, per_s: float, down: Sequence[str] = ()) -> str:
    """The rush at one moment, in a line."""
    gone = Counter(outcomes).total()
    return (
        f"{level.at_s:5.1f} s  {level.sold:>4} sold, {level.held} held, {level.left} left"
        f"  {buyers - gone:>5} buyers in the shop  {per_s:4.0f} requests a second"
        + (f"  without {', '.join(down)}" if down else "")
    )
