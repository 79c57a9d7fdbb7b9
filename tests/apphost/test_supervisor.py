"""Order of start and stop, restarts, and what the person at the keyboard reads, with small real processes."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.apphost.checks import check_port
from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.parts import Part
from services.apphost.ports import free_ports
from services.apphost.process import Command
from services.apphost.supervisor import ALL_STOP_S, Pids, Supervisor

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
    return Path(f"/proc/{pid}").exists()


def step(name: str, code: str, *needs: str) -> Part:
    return Part(name=name, command=Command(argv=[sys.executable, "-c", code], env=dict(os.environ)), needs=needs)


async def test_parts_start_after_what_they_need_and_stop_before_it(tmp_path: Path) -> None:
    parts = [server("shop", "fill"), step("fill", "print('filled')", "store"), server("store")]
    stage = Stage(parts, tmp_path)
    async with stage.open():
        pass
    told = [line for line in stage.lines() if not line.startswith("apphost")]
    assert told == ["store │ listening", "fill │ filled", "shop │ listening", "shop │ stopping", "store │ stopping"]


async def test_a_crashed_part_starts_again_and_others_stay(tmp_path: Path) -> None:
    stage = Stage([server("shop"), server("store")], tmp_path)
    async with stage.open():
        before = dict(stage.pids)
        os.kill(before["shop"], signal.SIGKILL)
        await stage.until(lambda: stage.pids["shop"] != before["shop"])
        assert stage.pids["store"] == before["store"]
    assert "apphost │ shop was ended by SIGKILL; it starts again in 0.5 s" in stage.lines()
    assert "apphost │ ✓ shop runs again" in stage.lines()


async def test_the_pause_before_a_restart_grows(tmp_path: Path) -> None:
    stage = Stage([server("shop")], tmp_path)
    async with stage.open():
        for _ in range(2):
            before = stage.pids["shop"]
            os.kill(before, signal.SIGKILL)
            await stage.until(lambda before=before: stage.pids["shop"] != before)  # type: ignore[misc] # bound default
    pauses = [line.rpartition(" in ")[2] for line in stage.lines() if "starts again" in line]
    assert pauses == ["0.5 s", "1 s"]


async def test_a_part_that_is_held_stays_down(tmp_path: Path) -> None:
    stage = Stage([server("shop")], tmp_path)
    async with stage.open():
        (tmp_path / "held").mkdir()
        (tmp_path / "held/shop").touch()
        before = stage.pids["shop"]
        os.kill(before, signal.SIGKILL)
        await asyncio.sleep(1.5)
        assert stage.pids["shop"] == before
        (tmp_path / "held/shop").unlink()
        await stage.until(lambda: stage.pids["shop"] != before)


async def test_one_that_ignores_the_signal_is_killed_in_time(tmp_path: Path) -> None:
    stage = Stage([server("shop", "store", stubborn=True), server("store", stubborn=True)], tmp_path)
    async with stage.open():
        pids = dict(stage.pids)
        began = time.monotonic()
    assert time.monotonic() - began < ALL_STOP_S + 1
    assert not any(map(runs, pids.values()))


async def test_a_part_that_fails_at_first_ends_the_start_with_its_last_lines(tmp_path: Path) -> None:
    store = server("store")
    broken = step("fill", "print('no such table'); raise SystemExit(3)", "store")
    stage = Stage([store, broken], tmp_path)
    with pytest.raises(ApphostError, match="fill ended with code 3 before it was ready"):
        async with stage.open():
            pytest.fail("it opened")
    assert "fill │ no such table" in stage.lines()
    assert not runs(stage.pids["store"])


async def test_a_taken_port_is_named_with_its_part_and_holder(tmp_path: Path) -> None:
    shop = server("shop")
    with socket.create_server(("127.0.0.1", shop.ports["main"])):
        stage = Stage([shop], tmp_path)
        with pytest.raises(ApphostError, match=rf"Port \d+, which shop needs, is taken by .* \(pid {os.getpid()}\)"):
            async with stage.open():
                pytest.fail("it opened")


async def test_a_quiet_part_is_heard_only_when_it_fails(tmp_path: Path) -> None:
    stage = Stage([server("store", quiet=True)], tmp_path)
    async with stage.open():
        await stage.until((tmp_path / "logs/store.log").exists)
        assert "store │ listening" not in stage.lines()
        os.kill(stage.pids["store"], signal.SIGKILL)
        await stage.until(lambda: "apphost │ ✓ store runs again" in stage.lines())
    assert "store │ listening" in stage.lines()


def test_lines_carry_their_part_s_name_in_its_colour() -> None:
    screen = io.StringIO()
    console = Console(screen, ["gateway", "redis"], colour=True)
    console.writer("gateway")("one")
    console.writer("redis")("two")
    first, second = screen.getvalue().splitlines()
    assert first.startswith("\x1b[36mgateway\x1b[0m │ one")
    assert second.startswith("\x1b[33m  redis\x1b[0m │ two")


def test_a_closed_terminal_stops_nothing() -> None:
    screen = io.StringIO()
    console = Console(screen, [], colour=False)
    screen.close()
    console.note("nobody reads this")
