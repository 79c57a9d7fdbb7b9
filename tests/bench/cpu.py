"""What an operation costs each process: processor time, which a busy neighbour on the machine changes little."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import psutil

from services.apphost.process import descendants

GENERATOR = "load generator"  # this process, and the programs that it has run


class CpuMeter:
    """Counts from now on, by part; what a part's descendants take is the part's."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._began = time.perf_counter()
        self._before = self._read()

    def spent_s(self) -> dict[str, float]:
        """Seconds of processor time since the start."""
        return {part: seconds - self._before.get(part, 0.0) for part, seconds in self._read().items()}

    def per_operation_ms(self, operations: int) -> dict[str, float]:
        return {part: seconds * 1000 / max(operations, 1) for part, seconds in self.spent_s().items()}

    def cores(self) -> dict[str, float]:
        """How many cores each kept busy since the start, on average."""
        took_s = time.perf_counter() - self._began
        return {part: seconds / took_s for part, seconds in self.spent_s().items()}

    def _read(self) -> dict[str, float]:
        seconds = {GENERATOR: _taken_s(psutil.Process())}
        for part, pid in self._pids.items():
            with contextlib.suppress(psutil.Error):  # it ended in the meantime
                seconds[part] = _taken_s(psutil.Process(pid)) + sum(map(_taken_by_s, descendants(pid)))
        return seconds


def _taken_by_s(pid: int) -> float:
    try:
        return _taken_s(psutil.Process(pid))
    except psutil.Error:  # it ended in the meantime; its parent has its time
        return 0.0


def _taken_s(process: psutil.Process) -> float:
    """By the process, and by those of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
