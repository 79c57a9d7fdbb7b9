"""Where a part's lines go: to the terminal, or, from the servers that chatter, to a file that is shown on failure."""

import contextlib
import re
from collections import deque
from pathlib import Path

from services.apphost.process import WriteLine

TAIL_LINES = 20
KEPT_LINES = 500
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class LoudLog:
    """Every line goes to the terminal; the last ones are kept, for whoever asks."""

    def __init__(self, show: WriteLine) -> None:
        self._show = show
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)

    def __call__(self, line: str) -> None:
        self._kept.append(line)
        self._show(line)

    def last(self, count: int) -> list[str]:
        """So many lines, the newest at the end, without the colours of a terminal."""
        kept = self._kept.copy()  # in one step: the part's own thread appends meanwhile
        return [COLOUR.sub("", line) for line in list(kept)[max(0, len(kept) - count) :]]

    def show_tail(self) -> None:
        """All has been shown already."""


class QuietLog(LoudLog):
    """Lines go to a file, begun anew with each ``up``; the last ones are shown when the part fails."""

    def __init__(self, file: Path, show: WriteLine) -> None:
        super().__init__(show)
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        self._file = file
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def __call__(self, line: str) -> None:
        self._kept.append(line)
        self._tail.append(line)
        # On a full disk the line is lost; if this raised, nobody would read the part's output any more.
        with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def show_tail(self) -> None:
        """Bring the last lines to the terminal, none of them twice."""
        while self._tail:
            self._show(self._tail.popleft())


def log_for(name: str, folder: Path, show: WriteLine, *, quiet: bool) -> LoudLog:
    return QuietLog(folder / f"{name}.log", show) if quiet else LoudLog(show)
