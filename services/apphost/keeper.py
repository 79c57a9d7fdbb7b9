"""One part's life: started, started again when it crashes, and whatever else it is told."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.lifetime import start_part
from services.apphost.log import LoudLog
from services.apphost.parts import Part
from services.apphost.process import Process, how_it_ended

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0  # before a crashed part starts again
STABLE_S = 30.0  # a part that lived so long starts again at the first pause
PART_STOP_S = 2.5

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class State(StrEnum):
    """``STARTING`` also between a crash and the next start; ``FAILED``: the last try did not come up."""

    STARTING = "starting"
    RUNNING = "running"
    FROZEN = "frozen"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class Keeper:
    """Sees a part through its life. ``changed`` is called whenever its state is another."""

    def __init__(self, part: Part, log: LoudLog, console: Console, changed: Callable[[], None]) -> None:
        self.part = part
        self.log = log
        self.state = State.STARTING
        self.restarts = 0  # after crashes
        self.process: Process | None = None  # none while it is down: its id may be another's by then
        self._console = console
        self._changed = changed
        self._spawn: Spawn | None = None
        self._life: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # one wish after the other

    @property
    def pid(self) -> int:
        """0 while it is down."""
        return self.process.pid if self.process is not None and self.process.exit_code is None else 0

    async def open(self) -> None:
        """Start it for the first time. Raises ApphostError when it does not start, OSError when the disk is full."""
        began = time.monotonic()
        await self._start()
        self._console.note(f"✓ {self.part.name} ({time.monotonic() - began:.1f} s)")

    def keep(self, spawn: Spawn) -> None:
        """From now on it starts again when it crashes, in a task of ``spawn``'s, and can be told things."""
        self._spawn = spawn
        if self.process is not None and self.part.check is not None:
            self._life = spawn(self._live(self.process))

    async def start(self) -> None:
        """See that it comes up, unless it runs or is about to; a step runs once more."""
        async with self._turn:
            if self.state is State.FAILED:
                await self._end(0)  # not after the pause that the next try would wait for
            self._begin()

    async def stop(self, grace_s: float = PART_STOP_S) -> None:
        """End it: it stays down until it is started. Without grace it is killed at once."""
        async with self._turn:
            await self._end(grace_s)

    async def restart(self) -> None:
        async with self._turn:
            await self._end(PART_STOP_S)
            self._begin()

    async def freeze(self) -> None:
        """Halt it with its descendants. Raises ApphostError while it is down."""
        async with self._turn:
            self._running_process().freeze()
            self._be(State.FROZEN)

    async def thaw(self) -> None:
        """Let it go on, if it is frozen."""
        async with self._turn:
            if self.state is State.FROZEN:
                self._running_process().thaw()
                self._be(State.RUNNING)

    async def kill(self) -> None:
        """End it as a crash would: it starts again by itself. Raises ApphostError while it is down."""
        async with self._turn:
            process = self._running_process()
            process.kill()
            await process.wait()
            self._be(State.STARTING)

    def _require_ours(self) -> Spawn:
        if self.part.command is None:
            raise ApphostError(f"Somebody else runs {self.part.name}.", "The environment names it.")
        if self._spawn is None:
            raise ApphostError(f"{self.part.name} has not started yet.", "Wait until everything runs.")
        return self._spawn

    def _running_process(self) -> Process:
        self._require_ours()
        if self.process is None or not self.pid:
            raise ApphostError(f"{self.part.name} does not run.", "Start it, or wait until it is back.")
        return self.process

    def _begin(self) -> None:
        spawn = self._require_ours()
        if self._life is None or self._life.done():
            self._be(State.STARTING)
            self._life = spawn(self._live(None) if self.part.check is not None else self._run_step())

    async def _end(self, grace_s: float) -> None:
        self._require_ours()
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait({self._life})
        if self.process is not None:
            await self.process.stop(grace_s)
            self.process = None
        if self.state is not State.DONE:
            self._be(State.STOPPED)

    async def _live(self, process: Process | None) -> None:
        """Whenever it ends start it again, after a pause that grows while it does not live long."""
        pause_s = FIRST_PAUSE_S
        while True:
            process = process or await self._try(f" Next try in {pause_s:g} s.")
            if process is not None:
                pause_s = await self._until_crashed(process, pause_s)
                process = None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _run_step(self) -> None:
        await self._try("")

    async def _try(self, outlook: str) -> Process | None:
        try:
            process = await self._start()
        except (ApphostError, OSError) as error:  # OSError: a full disk, which may be mended meanwhile
            self._be(State.FAILED)
            self._console.problem(f"{error}{outlook}")
            return None
        self._console.note(f"✓ {self.part.name} runs again")
        return process

    async def _until_crashed(self, process: Process, pause_s: float) -> float:
        """Wait for its end; answer the pause before it starts again."""
        code = await process.wait()
        process.kill()  # descendants that outlived it would hold its port
        self.process = None
        if process.age_s > STABLE_S:
            pause_s = FIRST_PAUSE_S
        self.restarts += 1
        self._be(State.STARTING)
        self.log.show_tail()
        self._console.problem(f"{self.part.name} {how_it_ended(code)}; it starts again in {pause_s:g} s")
        return pause_s

    async def _start(self) -> Process | None:
        """The process, if it stays and is ours."""
        self._be(State.STARTING)
        try:
            process = await start_part(self.part, self.log)
        except ApphostError:
            self.log.show_tail()
            raise
        self.process = None if self.part.check is None else process
        self._be(State.DONE if self.part.check is None else State.RUNNING)
        return self.process

    def _be(self, state: State) -> None:
        self.state = state
        with contextlib.suppress(OSError):  # a full disk, which may be mended before the next change
            self._changed()
