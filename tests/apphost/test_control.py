"""The control socket over a real supervisor: what it shows, and that parts do as they are told."""

import asyncio
import contextlib
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.apphost import vitals
from services.apphost.control import open_control
from services.apphost.errors import ApphostError
from services.apphost.parts import Part
from services.apphost.process import Command, descendants
from services.apphost.sockets import LONGEST_PATH, ask, control_file, make_private
from tests.apphost.stage import Stage, runs, server, step

# Answers any request with a health document, and has a child that keeps a core busy.
SERVICE = r"""
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
subprocess.Popen([sys.executable, "-c", "kept = bytearray(60 << 20)\nwhile True: pass"])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"status": "warn", "release": "1.2.3", "checks": {}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        print("\x1b[32masked\x1b[0m", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Remote:
    """A client of the control socket."""

    def __init__(self, stage: Stage, http: aiohttp.ClientSession) -> None:
        self.stage = stage
        self._http = http

    async def get(self, path: str, status: int = 200) -> Any:
        async with self._http.get(f"http://apphost{path}") as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None)

    async def tell(self, name: str, verb: str, status: int = 200) -> Any:
        async with self._http.post(f"http://apphost/parts/{name}/{verb}") as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None)

    async def until(self, name: str, state: str) -> dict[str, Any]:
        async with asyncio.timeout(15):
            while (part := await self.get(f"/parts/{name}"))["state"] != state:
                await asyncio.sleep(0.02)
        return dict(part)


@contextlib.asynccontextmanager
async def controlled(state: Path, *parts: Part) -> AsyncIterator[Remote]:
    stage = Stage(list(parts), state)
    file = control_file(state)
    async with (
        stage.open(),
        open_control(file, stage.supervisor.keepers),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(file))) as http,
    ):
        yield Remote(stage, http)


def service(name: str) -> Part:
    part = server(name)
    port = part.ports["main"]
    command = Command(argv=[sys.executable, "-c", SERVICE, str(port)], env=dict(os.environ))
    return replace(part, command=command, service="ordering", health=f"http://127.0.0.1:{port}/health")


async def test_a_service_is_shown_with_its_health_and_what_it_takes(tmp_path: Path) -> None:
    async with controlled(tmp_path, service("ordering"), service("ordering-2"), server("store")) as remote:
        first = (await remote.get("/parts"))["parts"]
        await asyncio.sleep(vitals.SERVICE_FRESH_S)
        ordering, second, store = (await remote.get("/parts"))["parts"]
    assert [part["name"] for part in first] == ["ordering", "ordering-2", "store"]
    assert (ordering["service"], ordering["instances"], ordering["kind"]) == ("ordering", 2, "service")
    assert (second["service"], store["service"], store["instances"], store["kind"]) == (
        "ordering",
        "store",
        1,
        "server",
    )
    assert ordering["state"] == store["state"] == "running"
    assert ordering["health"] == {"status": "warn", "release": "1.2.3", "checks": {}}
    assert store["health"] == {"status": "pass"}
    assert ordering["version"] == "1.2.3"
    assert ordering["address"] == f"127.0.0.1:{ordering['ports']['main']}"
    assert ordering["memoryBytes"] > 60 << 20 > store["memoryBytes"] > 1 << 20  # the child's are among them
    assert ordering["cpuPercent"] > 5 > store["cpuPercent"]
    assert ordering["lastLines"][-1] == "asked"  # without its colour
    assert datetime.fromisoformat(ordering["startedAt"]).tzinfo
    assert ordering["restarts"] == 0


async def test_a_stopped_part_stays_down_until_it_is_started(tmp_path: Path) -> None:
    async with controlled(tmp_path, server("shop")) as remote:
        before = remote.stage.pids["shop"]
        for _ in range(2):
            stopped = await remote.tell("shop", "stop")
            assert (stopped["state"], stopped["pid"], stopped["cpuPercent"]) == ("stopped", None, None)
        assert "shop │ stopping" in remote.stage.lines()
        assert remote.stage.pids["shop"] == 0
        assert not runs(before)
        await asyncio.sleep(1.0)  # twice as long as after a crash
        assert (await remote.get("/parts/shop"))["state"] == "stopped"

        assert (await remote.tell("shop", "start"))["state"] == "starting"
        after = await remote.until("shop", "running")
        assert after["pid"] == remote.stage.pids["shop"] != before
        assert (await remote.tell("shop", "start"))["pid"] == after["pid"]
        assert after["restarts"] == 0


async def test_without_grace_a_part_is_killed(tmp_path: Path) -> None:
    async with controlled(tmp_path, server("shop")) as remote:
        assert (await remote.tell("shop", "stop?grace_s=0"))["state"] == "stopped"
        assert "shop │ stopping" not in remote.stage.lines()
        await remote.tell("shop", "stop?grace_s=-1", status=400)
        await remote.tell("shop", "stop?grace_s=soon", status=400)


async def test_a_restart_is_a_new_process_and_no_crash(tmp_path: Path) -> None:
    async with controlled(tmp_path, server("shop")) as remote:
        before = remote.stage.pids["shop"]
        await remote.tell("shop", "restart")
        after = await remote.until("shop", "running")
        assert after["pid"] != before
        assert after["restarts"] == 0
        await remote.tell("shop", "stop")
        await remote.tell("shop", "restart")
        await remote.until("shop", "running")


async def test_a_killed_part_comes_back_by_itself(tmp_path: Path) -> None:
    async with controlled(tmp_path, server("shop")) as remote:
        before = remote.stage.pids["shop"]
        killed = await remote.tell("shop", "kill")
        assert (killed["state"], killed["pid"]) == ("starting", None)
        after = await remote.until("shop", "running")
        assert after["pid"] != before
        assert after["restarts"] == 1
        assert "apphost │ shop was ended by SIGKILL; it starts again in 0.5 s" in remote.stage.lines()


async def test_a_frozen_part_is_left_alone_until_it_is_thawed(tmp_path: Path) -> None:
    async with controlled(tmp_path, service("ordering")) as remote:
        pid = remote.stage.pids["ordering"]
        (child,) = descendants(pid)
        for _ in range(2):
            assert (await remote.tell("ordering", "freeze"))["state"] == "frozen"
        await remote.stage.until(lambda: [condition(pid), condition(child)] == ["T", "T"])
        began = asyncio.get_running_loop().time()
        frozen = (await remote.get("/parts"))["parts"][0]
        assert asyncio.get_running_loop().time() - began < 2 * vitals.LOOK_S
        assert (frozen["state"], frozen["pid"], frozen["health"]) == ("frozen", pid, None)
        for _ in range(2):
            thawed = await remote.tell("ordering", "thaw")
            assert (thawed["state"], thawed["pid"]) == ("running", pid)
        await remote.stage.until(lambda: "T" not in [condition(pid), condition(child)])


async def test_what_is_frozen_can_be_stopped_in_good_order(tmp_path: Path) -> None:
    async with controlled(tmp_path, server("shop")) as remote:
        await remote.tell("shop", "freeze")
        await remote.tell("shop", "stop")
        assert "shop │ stopping" in remote.stage.lines()


async def test_a_look_does_not_wait_for_a_part_that_hangs(tmp_path: Path) -> None:
    async with controlled(tmp_path, service("ordering"), service("catalog")) as remote:
        await remote.get("/parts")
        os.kill(remote.stage.pids["ordering"], signal.SIGSTOP)  # behind the supervisor's back
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            while (parts := (await remote.get("/parts"))["parts"])[0]["health"] is not None:
                assert parts[1]["health"]
        looks_s = asyncio.get_running_loop().time() - began
        assert looks_s < vitals.SERVICE_FRESH_S + vitals.ANSWER_S + 4 * vitals.LOOK_S


async def test_a_step_can_be_run_again(tmp_path: Path) -> None:
    marker = tmp_path / "broken"
    code = f"import os; print('filled'); raise SystemExit(os.path.exists({str(marker)!r}))"
    async with controlled(tmp_path, step("fill", code)) as remote:
        (part,) = (await remote.get("/parts"))["parts"]
        assert (part["state"], part["kind"], part["pid"], part["health"]) == ("done", "step", None, None)
        assert (await remote.tell("fill", "stop"))["state"] == "done"
        await remote.tell("fill", "start")
        await remote.until("fill", "done")
        marker.touch()
        await remote.tell("fill", "restart")
        await remote.until("fill", "failed")
        assert (await remote.get("/parts/fill/log"))["lines"] == ["filled"] * 3
        assert (await remote.get("/parts/fill/log?lines=1"))["lines"] == ["filled"]
        await remote.tell("fill", "freeze", status=409)


async def test_a_part_that_cannot_start_is_tried_again_when_told(tmp_path: Path) -> None:
    shop = server("shop")
    blocked = tmp_path / "blocked"

    def prepare() -> None:
        if blocked.exists():
            raise ApphostError("The way is blocked.", "Remove the block.")

    async with controlled(tmp_path, replace(shop, prepare=prepare)) as remote:
        blocked.touch()
        await remote.tell("shop", "restart")
        await remote.until("shop", "failed")
        assert any("The way is blocked" in line for line in remote.stage.lines())
        blocked.unlink()
        await remote.tell("shop", "start")
        await remote.until("shop", "running")


async def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    async def well() -> None:
        """As somebody else's server is."""

    abroad = Part(name="abroad", command=None, check=well)
    async with controlled(tmp_path, server("shop"), abroad) as remote:
        assert (await remote.get("/parts/shops", status=404))["detail"] == "There is no part named shops."
        assert "dance" in (await remote.tell("shop", "dance", status=404))["detail"]
        await remote.get("/parts/shop/log?lines=501", status=400)
        await remote.get("/nothing", status=404)
        for verb in ("start", "stop", "restart", "freeze", "kill"):
            assert (await remote.tell("abroad", verb, status=409))["detail"].startswith("Somebody else runs abroad.")
        part = (await remote.get("/parts"))["parts"][1]
        assert (part["managed"], part["pid"], part["health"]) == (False, None, {"status": "pass"})
        await remote.tell("shop", "stop")
        for verb in ("freeze", "kill"):
            assert "shop does not run" in (await remote.tell("shop", verb, status=409))["detail"]


async def test_a_part_that_waits_for_its_needs_is_told_nothing(tmp_path: Path) -> None:
    stage = Stage([server("shop", "fill"), step("fill", "import time; time.sleep(60)")], tmp_path)
    starting = asyncio.create_task(stage.supervisor.run(stage.opened.set))
    try:
        await asyncio.sleep(0)
        for keeper in stage.supervisor.keepers.values():
            with pytest.raises(ApphostError, match="has not started yet"):
                await keeper.stop()
    finally:
        starting.cancel()
        await asyncio.wait({starting})
        await stage.supervisor.stop()


async def test_the_socket_is_its_owner_s_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    file = control_file(tmp_path)
    file.touch()  # left by one that was killed
    async with controlled(tmp_path, server("shop")):
        assert stat.S_ISSOCK(file.stat().st_mode)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        answer = await asyncio.to_thread(ask, file, "GET", "/parts/shop")
        assert answer["state"] == "running"
        with pytest.raises(ApphostError, match="no part named none"):
            await asyncio.to_thread(ask, file, "POST", "/parts/none/stop")
    assert not file.exists()
    with pytest.raises(ApphostError, match="does not answer"):
        ask(file, "GET", "/parts")


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In place of the folder for temporary files, and empty."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def test_below_a_long_path_the_socket_is_in_a_private_folder(short_folder: Path) -> None:
    deep = short_folder / ("ü" * 40) / ("x" * 40)
    file = control_file(deep)
    assert file.parent.parent == short_folder
    assert len(os.fsencode(file)) <= LONGEST_PATH
    assert file == control_file(deep) != control_file(deep / "other")
    make_private(file.parent)
    make_private(file.parent)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.parent.chmod(0o755)
    with pytest.raises(ApphostError, match="not ours alone"):
        make_private(file.parent)


def condition(pid: int) -> str:
    """A process's state in the kernel's letters: T is stopped."""
    found = re.search(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return found[1]
