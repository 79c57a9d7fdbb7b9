"""Starts the parts in the order of their needs, keeps them running, and stops them in the reverse order."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from services.apphost.console import Console
from services.apphost.keeper import PART_STOP_S, Keeper
from services.apphost.lifetime import require_free_ports
from services.apphost.log import log_for
from services.apphost.parts import Part

ALL_STOP_S = 6.0  # a Ctrl-C takes no longer, whatever hangs
REPORT_EVERY_S = 5.0
LOGS = "logs"

Pids = dict[str, int]


class Supervisor:
    """``changed`` hears of every change: the parts' process ids (0: down), and whether all parts have been well."""

    def __init__(
        self, parts: Sequence[Part], console: Console, state: Path, changed: Callable[[Pids, bool], None]
    ) -> None:
        self.keepers = {part.name: self._keeper(part, console, state / LOGS) for part in parts}
        self._console = console
        self._changed = changed
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._starting: set[str] = set()
        self._open = False

    async def run(self, opened: Callable[[], None]) -> None:
        """Start everything, call ``opened`` once all is well, and restart what crashes, until cancelled.

        Raises ApphostError when a part does not start the first time, OSError when the disk does not let it.
        Call ``stop`` afterwards in any case.
        """
        for keeper in self.keepers.values():
            require_free_ports(keeper.part)  # before anything starts: what cannot end well is said at once
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self.keepers.values():
                    group.create_task(self._open_part(keeper, group))
                group.create_task(self._report_progress())
                await self._all_ready()
                self._open = True
                self._publish()
                opened()
                await asyncio.Event().wait()  # even without a part that stays: one may be told to run again
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def stop(self) -> None:
        """End every part after its successors; what is left when the time is up is killed."""
        stopped = {name: asyncio.Event() for name in self.keepers}
        tasks = [self._stop_part(keeper, stopped) for keeper in self.keepers.values()]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks), ALL_STOP_S)
        self.kill()

    def kill(self) -> None:
        """End everything at once."""
        for keeper in self.keepers.values():
            if keeper.process is not None:
                keeper.process.kill()

    def _keeper(self, part: Part, console: Console, logs: Path) -> Keeper:
        log = log_for(part.name, logs, console.writer(part.name), quiet=part.quiet)
        return Keeper(part, log, console, self._publish)

    def _publish(self) -> None:
        pids = {name: keeper.pid for name, keeper in self.keepers.items() if keeper.part.stays}
        self._changed(pids, self._open)

    async def _open_part(self, keeper: Keeper, group: asyncio.TaskGroup) -> None:
        part = keeper.part
        for name in part.predecessors:
            await self._ready[name].wait()
        self._starting.add(part.name)
        await keeper.open()
        self._starting.remove(part.name)
        keeper.keep(group.create_task)
        self._ready[part.name].set()

    async def _stop_part(self, keeper: Keeper, stopped: dict[str, asyncio.Event]) -> None:
        for other in self.keepers.values():
            if keeper.part.name in other.part.predecessors:
                await stopped[other.part.name].wait()
        if keeper.process is not None:
            await keeper.process.stop(PART_STOP_S)
        stopped[keeper.part.name].set()

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
