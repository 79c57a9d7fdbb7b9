"""Order of start and stop, restarts, and what the person at the keyboard reads, with small real processes."""

import io
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.supervisor import ALL_STOP_S
from tests.apphost.stage import Stage, runs, server, step


async def test_parts_start_after_what_they_need_and_stop_before_it(tmp_path: Path) -> None:
    parts = [server("shop", "fill"), step("fill", "print('filled')", "store"), server("store")]
    stage = Stage(parts, tmp_path)
    async with stage.open():
        pass
    told = [line for line in stage.lines() if not line.startswith("apphost")]
    assert told == ["store │ listening", "fill │ filled", "shop │ listening", "shop │ stopping", "store │ stopping"]


async def test_what_a_part_can_do_without_is_up_before_it_and_goes_down_after_it(tmp_path: Path) -> None:
    stage = Stage([replace(server("shop"), after=("eye",)), server("eye")], tmp_path)
    async with stage.open():
        pass
    told = [line for line in stage.lines() if not line.startswith("apphost")]
    assert told == ["eye │ listening", "shop │ listening", "shop │ stopping", "eye │ stopping"]


async def test_a_crashed_part_starts_again_and_others_stay(tmp_path: Path) -> None:
    stage = Stage([server("shop"), server("store")], tmp_path)
    async with stage.open():
        before = dict(stage.pids)
        os.kill(before["shop"], signal.SIGKILL)
        await stage.until(lambda: stage.pids["shop"] not in (0, before["shop"]))
        assert stage.pids["store"] == before["store"]
    assert "apphost │ shop was ended by SIGKILL; it starts again in 0.5 s" in stage.lines()
    assert "apphost │ ✓ shop runs again" in stage.lines()


async def test_the_pause_before_a_restart_grows(tmp_path: Path) -> None:
    stage = Stage([server("shop")], tmp_path)
    async with stage.open():
        for _ in range(2):
            before = stage.pids["shop"]
            os.kill(before, signal.SIGKILL)
            await stage.until(lambda before=before: stage.pids["shop"] not in (0, before))  # type: ignore[misc] # bound default
    pauses = [line.rpartition(" in ")[2] for line in stage.lines() if "starts again" in line]
    assert pauses == ["0.5 s", "1 s"]


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


async def test_a_taken_port_is_named_with_its_part_and_holder_before_anything_starts(tmp_path: Path) -> None:
    shop = server("shop", "store")
    with socket.create_server(("127.0.0.1", shop.ports["main"])):
        stage = Stage([server("store"), shop], tmp_path)
        with pytest.raises(ApphostError, match=rf"Port \d+, which shop needs, is taken by .* \(pid {os.getpid()}\)"):
            async with stage.open():
                pytest.fail("it opened")
    assert not any(stage.pids.values())


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


async def test_a_closed_terminal_stops_nothing(tmp_path: Path) -> None:
    stage = Stage([server("shop")], tmp_path)
    async with stage.open():
        stage.screen.close()
        before = stage.pids["shop"]
        os.kill(before, signal.SIGKILL)
        await stage.until(lambda: stage.pids["shop"] not in (0, before))
        assert runs(stage.pids["shop"])
