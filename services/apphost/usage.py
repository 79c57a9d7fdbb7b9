"""How much of the machine a part takes, its descendants included, as the kernel's books say."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from services.apphost.process import descendants


@dataclass(frozen=True)
class Usage:
    """``cpu_percent`` of one core since the part was last looked at; memory that several share is counted once."""

    cpu_percent: float
    memory_bytes: int


class Meter:
    """Remembers the processor time of the last look, from which the next one counts."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}  # by process: when it was looked at, and its seconds until then

    def read(self, pids: Mapping[str, int]) -> dict[str, Usage]:
        """By name, without those that are gone. It blocks for about a millisecond a process."""
        last, self._last = self._last, {}
        found = {}
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):
                found[name] = self._read(pid, last)
        return found

    def _read(self, pid: int, last: Mapping[int, tuple[float, float]]) -> Usage:
        head = psutil.Process(pid)
        spent_s, memory_bytes = _take(head)
        for below in descendants(pid):
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                more_s, more_bytes = _take(psutil.Process(below))
                spent_s, memory_bytes = spent_s + more_s, memory_bytes + more_bytes
        now = time.time()
        then, before_s = last.get(pid, (head.create_time(), 0.0))
        self._last[pid] = (now, spent_s)
        # A child that has ended takes its seconds along.
        return Usage(100 * max(0.0, spent_s - before_s) / max(now - then, 0.001), memory_bytes)


def _take(process: psutil.Process) -> tuple[float, int]:
    """Seconds of processor time, and bytes of memory."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_full_info().pss
