"""Parts are killed in the middle of a sale: which, when, and what is told of it; with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.apphost.control import open_control
from services.apphost.errors import ApphostError
from services.apphost.parts import Part
from services.apphost.rush import chaos as chaos_module
from services.apphost.rush.chaos import Chaos, find_victims
from services.apphost.rush.progress import Progress
from services.apphost.sockets import control_file
from tests.apphost.stage import Stage, server


@contextlib.asynccontextmanager
async def controlled(state: Path, *parts: Part) -> AsyncIterator[Stage]:
    stage = Stage(list(parts), state)
    async with stage.open(), open_control(control_file(state), stage.supervisor.keepers):
        yield stage


def make_chaos(state: Path, victims: list[str]) -> tuple[Chaos, io.StringIO]:
    out = io.StringIO()
    clock = asyncio.get_running_loop().time
    return Chaos(control_file(state), victims, clock, Progress(out, terminal=False)), out


async def test_both_servers_and_the_last_instance_of_ordering_are_struck_at_once(tmp_path: Path) -> None:
    names = ("postgres", "redis", "rabbitmq", "ordering", "ordering-2")
    parts = [replace(server(name), service=name.partition("-")[0]) for name in names]
    async with controlled(tmp_path, *parts) as stage:
        victims = await find_victims(control_file(tmp_path))
        assert victims == ["rabbitmq", "redis", "ordering-2"]
        chaos, out = make_chaos(tmp_path, victims)
        middle, before = asyncio.Event(), dict(stage.pids)
        running = asyncio.create_task(chaos.run(middle))
        await asyncio.sleep(0.1)
        assert (chaos.down, stage.pids) == ([], before)

        middle.set()
        await stage.until(lambda: set(chaos.down) == set(victims))
        await running
        assert {name for name in names if stage.pids[name] != before[name]} == set(victims)
    assert (chaos.down, chaos.faults) == ([], [])
    assert all(outage.until_s and outage.until_s > outage.from_s for outage in chaos.outages)
    for victim in victims:
        assert f"killed {victim}\n" in out.getvalue()
        assert f"{victim} is back\n" in out.getvalue()


async def test_what_does_not_come_back_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_module, "BACK_S", 0.3)  # sooner than anything starts again
    middle = asyncio.Event()
    middle.set()
    async with controlled(tmp_path, server("redis")):
        chaos, _ = make_chaos(tmp_path, ["redis"])
        await chaos.run(middle)
    assert chaos.faults == ["redis did not come back"]


async def test_a_sale_that_is_slow_is_struck_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_module, "LATEST_S", 0.1)
    async with controlled(tmp_path, server("redis")):
        chaos, _ = make_chaos(tmp_path, ["redis"])
        await chaos.run(asyncio.Event())
    assert [outage.part for outage in chaos.outages] == ["redis"]


async def test_a_middle_that_never_comes_is_a_fault(tmp_path: Path) -> None:
    chaos, _ = make_chaos(tmp_path, ["redis"])
    assert chaos.faults == ["nothing was killed: the sale never came to its middle"]
    quiet, _ = make_chaos(tmp_path, [])
    assert quiet.faults == []


async def test_without_a_control_socket_there_is_no_chaos(tmp_path: Path) -> None:
    with pytest.raises(ApphostError, match="does not answer"):
        await find_victims(control_file(tmp_path))
