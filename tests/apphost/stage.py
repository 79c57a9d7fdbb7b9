"""A supervisor over small real processes, with what it printed and published."""

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from services.apphost.checks import check_port
from services.apphost.console import Console
from services.apphost.parts import Part
from services.apphost.ports import free_ports
from services.apphost.process import Command, is_zombie
from services.apphost.supervisor import Pids, Supervisor

# Listens on a port, says so, and says when it is told to stop.
SERVER = r"""
import os, signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
def stop(*_):
    os.write(1, b"stopping\n")  # print is not for signal handlers
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else stop)
print("listening", flush=True)
while True:
    time.sleep(0.05)
"""


class Stage:
    """A supervisor over some parts, with what it printed and published."""

    def __init__(self, parts: list[Part], state: Path) -> None:
        self.screen = io.StringIO()
        self.pids: Pids = {}
        self.opened = asyncio.Event()
        console = Console(self.screen, [part.name for part in parts], colour=False)
        self.supervisor = Supervisor(parts, console, state, self._changed)

    def _changed(self, pids: Pids, ready: bool) -> None:
        self.pids = pids

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.supervisor.run(self.opened.set))
        try:
            opened = asyncio.create_task(self.opened.wait())
            await asyncio.wait({task, opened}, return_when=asyncio.FIRST_COMPLETED)
            opened.cancel()
            if task.done():
                await task
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self.supervisor.stop()

    def lines(self) -> list[str]:
        return [line.strip() for line in self.screen.getvalue().splitlines()]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.02)


def server(name: str, *needs: str, stubborn: bool = False, quiet: bool = False) -> Part:
    (port,) = free_ports(1)
    arguments = [str(port), *(["stubborn"] if stubborn else [])]
    return Part(
        name=name,
        command=Command(argv=[sys.executable, "-c", SERVER, *arguments], env=dict(os.environ)),
        ports={"main": port},
        needs=needs,
        check=lambda: check_port(port),
        quiet=quiet,
    )


def runs(pid: int) -> bool:
    """Whether it has not ended: what its parent has yet to take leave of has."""
    return Path(f"/proc/{pid}").exists() and not is_zombie(pid)


def step(name: str, code: str, *needs: str) -> Part:
    return Part(name=name, command=Command(argv=[sys.executable, "-c", code], env=dict(os.environ)), needs=needs)
