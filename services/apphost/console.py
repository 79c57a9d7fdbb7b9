"""What the person at the keyboard sees: the parts' lines, each behind its part's name, and how the start goes."""

import itertools
import threading
from collections.abc import Iterable
from typing import TextIO

from services.apphost.process import WriteLine

COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # ANSI foregrounds that read on dark and on light
BOLD, RED = 1, 31
OWN_NAME = "apphost"


class Console:
    """Whole lines from many threads to one stream; a stream that is gone is not an error."""

    def __init__(self, out: TextIO, names: Iterable[str], *, colour: bool) -> None:
        names = [OWN_NAME, *names]
        self._out: TextIO | None = out
        self._lock = threading.Lock()
        self._colour = colour
        self._width = max(map(len, names))
        self._paint = dict(zip(names, itertools.cycle((BOLD, *COLOURS)), strict=False))

    def writer(self, name: str) -> WriteLine:
        """A function that prints one line of a part."""
        label = self._styled(f"{name:>{self._width}}", self._paint[name])
        return lambda line: self._print(f"{label} │ {line}\n")

    def note(self, text: str) -> None:
        """A line of the app host's own."""
        self.writer(OWN_NAME)(text)

    def problem(self, text: str) -> None:
        self.writer(OWN_NAME)(self._styled(text, RED))

    def block(self, text: str) -> None:
        """Several lines, without a name before them."""
        self._print(f"\n{text}\n\n")

    def _styled(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _print(self, text: str) -> None:
        with self._lock:
            if self._out is None:
                return
            try:
                self._out.write(text)
                self._out.flush()
            except (OSError, ValueError):  # the terminal was closed; the parts must not block on a full pipe
                self._out = None
