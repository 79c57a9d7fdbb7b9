"""The client of the control socket, against a server on a real Unix socket."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.dashboard.control import Control, open_control
from services.defaults.errors import AppError, Conflict, NotFound, Unavailable

PART: dict[str, Any] = {
    "name": "ordering-2",
    "kind": "service",
    "service": "ordering",
    "instances": 2,
    "managed": True,
    "state": "running",
    "pid": 123,
    "address": "127.0.0.1:8082",
    "ports": {"main": 8082},
    "restarts": 1,
    "startedAt": "2026-11-24T17:25:00.123456+00:00",
    "cpuPercent": 1.5,
    "memoryBytes": 456,
    "version": "dev",
    "health": {"status": "warn", "checks": {"redis": {"status": "warn", "latencyMs": 1.2, "output": "away"}}},
    "lastLines": ["serving"],
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Host = dict[str, Any]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """An app host that answers what the test puts into it, and keeps what it was asked."""
    folder = tempfile.TemporaryDirectory(prefix="ticketflow-", dir="/tmp")
    told: Host = {"socket": f"{folder.name}/control.sock", "asked": [], "status": 200, "body": {}}

    async def answer(request: web.Request) -> web.StreamResponse:
        told["asked"].append(f"{request.method} {request.raw_path}")
        if isinstance(told["body"], str):
            return web.Response(text=told["body"], status=told["status"])
        return web.json_response(told["body"], status=told["status"])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, told["socket"]).start()
    yield told
    await runner.cleanup()
    folder.cleanup()


@pytest.fixture
async def control(host: Host) -> AsyncIterator[Control]:
    async with open_control(host["socket"]) as control:
        assert control
        yield control


async def test_reads_every_part(control: Control, host: Host) -> None:
    host["body"] = {"parts": [PART]}
    (part,) = await control.parts()
    assert (part.name, part.service, part.instances, part.state) == ("ordering-2", "ordering", 2, "running")
    assert part.started_at == datetime(2026, 11, 24, 17, 25, 0, 123456, tzinfo=UTC)
    assert part.health
    assert part.health.dependencies[0].latency_ms == 1.2
    assert part.mark == "warn"
    assert host["asked"] == ["GET /parts"]


async def test_a_part_that_does_not_run_has_no_numbers(control: Control, host: Host) -> None:
    idle = {"pid": None, "startedAt": None, "cpuPercent": None, "memoryBytes": None, "health": None, "address": None}
    host["body"] = {"parts": [PART | idle | {"state": "stopped", "lastLines": []}]}
    (part,) = await control.parts()
    assert (part.cpu_percent, part.started_at, part.address, part.mark) == (None, None, "", "fail")


async def test_reads_a_log(control: Control, host: Host) -> None:
    host["body"] = {"name": "ordering", "lines": ["one", "two"]}
    assert await control.log("ordering", 50) == ["one", "two"]
    assert host["asked"] == ["GET /parts/ordering/log?lines=50"]


async def test_acts(control: Control, host: Host) -> None:
    host["body"] = PART | {"state": "frozen"}
    assert (await control.act("ordering-2", "freeze")).state == "frozen"
    assert host["asked"] == ["POST /parts/ordering-2/freeze"]


async def test_a_name_cannot_lead_elsewhere(control: Control, host: Host) -> None:
    host["body"] = {"lines": []}
    await control.log("../parts/postgres/stop?", 1)
    assert host["asked"] == ["GET /parts/..%2Fparts%2Fpostgres%2Fstop%3F/log?lines=1"]


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (409, Conflict), (500, AppError)])
async def test_a_refusal_keeps_its_sentence(control: Control, host: Host, status: int, error: type[AppError]) -> None:
    host["status"] = status
    host["body"] = {"status": status, "title": "…", "detail": "It is run by somebody else."}
    with pytest.raises(error, match="It is run by somebody else"):
        await control.act("postgres", "stop")


@pytest.mark.parametrize("body", ["no JSON", {}, {"parts": {}}, {"parts": [{}]}, {"parts": [7]}, []])
async def test_nonsense_is_no_crash(control: Control, host: Host, body: Any) -> None:
    host["body"] = body
    with pytest.raises(Unavailable):
        await control.parts()


async def test_nobody_listens(tmp_path: Path) -> None:
    async with open_control(str(tmp_path / "none.sock")) as control:
        assert control
        with pytest.raises(Unavailable, match="does not answer"):
            await control.parts()


async def test_without_a_path_there_is_no_control() -> None:
    async with open_control("") as control:
        assert control is None
