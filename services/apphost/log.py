"""Where a part's lines go: to the terminal, or, from the servers that chatter, to a file that is shown on failure."""

import contextlib
from collections import deque
from pathlib import Path

from services.apphost.process import WriteLine

TAIL_LINES = 20


class LoudLog:
    """Every line goes to the terminal."""

    def __init__(self, show: WriteLine) -> None:
        self._show = show

    def __call__(self, line: str) -> None:
        self._show(line)

    def show_tail(self) -> None:
        """All has been shown already."""


class QuietLog:
    """Lines go to a file, begun anew with each ``up``; the last ones are shown when the part fails."""

    def __init__(self, file: Path, show: WriteLine) -> None:
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        self._file = file
        self._show = show
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def __call__(self, line: str) -> None:
        self._tail.append(line)
        # On a full disk the line is lost; if this raised, nobody would read the part's output any more.
        with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def show_tail(self) -> None:
        """Bring the last lines to the terminal, none of them twice."""
        while self._tail:
            self._show(self._tail.popleft())


def log_for(name: str, folder: Path, show: WriteLine, *, quiet: bool) -> LoudLog | QuietLog:
    return QuietLog(folder / f"{name}.log", show) if quiet else LoudLog(show)
