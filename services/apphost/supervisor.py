"""Starts the parts in the order of their needs, keeps them running, and stops them in the reverse order."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.lifetime import start_part
from services.apphost.log import log_for
from services.apphost.parts import Part
from services.apphost.process import Process, how_it_ended

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0  # before a crashed part starts again
STABLE_S = 30.0  # a part that lived so long starts again at the first pause
PART_STOP_S, ALL_STOP_S = 2.5, 6.0  # a Ctrl-C takes no longer than the second, whatever hangs
REPORT_EVERY_S = 5.0
LOGS = "logs"
HELD = "held"  # a file of a part's name in this folder keeps the part down

Pids = dict[str, int]


class Supervisor:
    """``changed`` hears of every change: the running parts' process ids, and whether all parts have been well."""

    def __init__(
        self, parts: Sequence[Part], console: Console, state: Path, changed: Callable[[Pids, bool], None]
    ) -> None:
        self._parts = {part.name: part for part in parts}
        self._console = console
        self._held = state / HELD
        self._changed = changed
        self._ready = {name: asyncio.Event() for name in self._parts}
        self._logs = {
            part.name: log_for(part.name, state / LOGS, console.writer(part.name), quiet=part.quiet) for part in parts
        }
        self._processes: dict[str, Process] = {}
        self._starting: set[str] = set()
        self._open = False

    async def run(self, opened: Callable[[], None]) -> None:
        """Start everything, call ``opened`` once all is well, and restart what crashes, until cancelled.

        Raises ApphostError when a part does not start the first time, OSError when the disk does not let it.
        Call ``stop`` afterwards in any case.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for part in self._parts.values():
                    group.create_task(self._run_part(part))
                group.create_task(self._report_progress())
                await self._all_ready()
                self._open = True
                self._publish()
                opened()
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def stop(self) -> None:
        """End every part after those that need it; what is left when the time is up is killed."""
        stopped = {name: asyncio.Event() for name in self._parts}
        tasks = [self._stop_part(part, stopped) for part in self._parts.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks), ALL_STOP_S)
        self.kill()

    def kill(self) -> None:
        """End everything at once."""
        for process in self._processes.values():
            process.kill()

    async def _run_part(self, part: Part) -> None:
        for need in part.needs:
            await self._ready[need].wait()
        began = time.monotonic()
        self._starting.add(part.name)
        await self._start(part)
        self._starting.remove(part.name)
        self._ready[part.name].set()
        self._console.note(f"✓ {part.name} ({time.monotonic() - began:.1f} s)")
        if part.name in self._processes:
            await self._keep(part)

    async def _start(self, part: Part) -> None:
        try:
            process = await start_part(part, self._logs[part.name])
        except ApphostError:
            self._logs[part.name].show_tail()
            raise
        if process is not None and process.exit_code is None:
            self._processes[part.name] = process
            self._publish()

    def _publish(self) -> None:
        self._changed({name: process.pid for name, process in self._processes.items()}, self._open)

    async def _keep(self, part: Part) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            process = self._processes[part.name]
            code = await process.wait()
            process.kill()  # descendants that outlived it would hold its port
            if process.age_s > STABLE_S:
                pause_s = FIRST_PAUSE_S
            self._logs[part.name].show_tail()
            self._console.problem(f"{part.name} {how_it_ended(code)}; it starts again in {pause_s:g} s")
            pause_s = await self._start_again(part, pause_s)

    async def _start_again(self, part: Part, pause_s: float) -> float:
        """Try until it runs; answer the pause before the next time."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if (self._held / part.name).exists():
                pause_s = FIRST_PAUSE_S
                continue
            try:
                await self._start(part)
            except (ApphostError, OSError) as error:  # OSError: a full disk, which may be mended meanwhile
                self._console.problem(f"{error} Next try in {pause_s:g} s.")
            else:
                self._console.note(f"✓ {part.name} runs again")
                return pause_s

    async def _stop_part(self, part: Part, stopped: dict[str, asyncio.Event]) -> None:
        for other in self._parts.values():
            if part.name in other.needs:
                await stopped[other.name].wait()
        if part.name in self._processes:
            await self._processes[part.name].stop(PART_STOP_S)
        stopped[part.name].set()

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()

    async def _report_progress(self) -> None:
        while not self._open:
            await asyncio.sleep(REPORT_EVERY_S)
            if self._starting:
                self._console.note(f"… still starting: {', '.join(sorted(self._starting))}")


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
