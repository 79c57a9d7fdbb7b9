"""A process from start to stop, as an operator sees it: by signals, ports, exit codes and Consul."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from services.apphost.ports import free_ports

PROGRAM = """
import asyncio, os
from dataclasses import dataclass
from services.defaults.health import Health
from services.defaults.http import create_http_app
from services.defaults.run import main, serve_http
from services.defaults.settings import CommonSettings, load, setting
from services.defaults.telemetry import setup_telemetry

@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port")
    fail: bool = setting("Make the loop fail", default=False)

async def serve():
    settings = load(Settings, os.environ)
    health = Health("sample", settings.release, {})
    app = create_http_app("sample", health)

    @app.get("/slow")
    async def slow():
        await asyncio.sleep(1.5)
        return {"finished": True}

    async def loop(stop):
        if settings.fail:
            raise RuntimeError("the loop broke")
        await stop.wait()

    with setup_telemetry("sample", settings):
        await serve_http(app, settings, health, background=[loop])

main("sample", {"serve": serve})
"""


class Program:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def get(self, path: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return response.status, await response.json()

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def program(*arguments: str, **env: str) -> AsyncIterator[Program]:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        env={**os.environ, "PORT": str(port), "LOG_FORMAT": "json", "DRAIN_S": "0.3"} | env,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(process, f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined] # else its pipe warns at interpreter exit


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            with suppress(aiohttp.ClientError):  # not yet listening
                if await condition():
                    return
            await asyncio.sleep(0.05)


async def is_up(running: Program) -> bool:
    return (await running.get("/health"))[0] == 200


async def test_a_request_in_flight_finishes_after_sigterm() -> None:
    async with program() as running:
        await eventually(lambda: is_up(running))
        request = asyncio.create_task(running.get("/slow"))
        await asyncio.sleep(0.2)  # let it arrive: its handler takes 1.5 s
        running.process.send_signal(signal.SIGTERM)
        assert await request == (200, {"finished": True})
        assert await running.exit_code() == 0


async def test_readiness_fails_first_while_requests_are_still_taken() -> None:
    async with program(DRAIN_S="1.0") as running:
        await eventually(lambda: is_up(running))
        running.process.send_signal(signal.SIGTERM)

        async def unready() -> bool:
            return (await running.get("/health"))[0] == 503

        await eventually(unready)
        assert (await running.get("/alive"))[0] == 200
        assert await running.exit_code() == 0


async def test_bad_settings_stop_the_start_with_a_sentence() -> None:
    async with program(PORT="nowhere", LOG_LEVEL="loud") as running:
        _, said = await running.process.communicate()
        assert running.process.returncode == 2
    assert b"PORT: must be a whole number" in said
    assert b"LOG_LEVEL: must be one of" in said
    assert b"Traceback" not in said


async def test_an_unknown_verb_says_what_there_is() -> None:
    async with program("dance") as running:
        _, said = await running.process.communicate()
        assert running.process.returncode == 1
    assert b"serve" in said


async def test_a_loop_that_breaks_ends_the_process() -> None:
    async with program(FAIL="on") as running:
        assert await running.exit_code() not in {0, None}


async def test_it_is_in_consul_from_start_to_stop(consul_addr: str) -> None:
    async with program(CONSUL_HTTP_ADDR=consul_addr) as running, aiohttp.ClientSession() as session:

        async def instances() -> list[Any]:
            async with session.get(f"{consul_addr}/v1/health/service/sample", params={"passing": "true"}) as response:
                found: list[Any] = await response.json()
                return found

        async def registered() -> bool:
            return len(await instances()) == 1

        await eventually(registered)
        running.process.send_signal(signal.SIGTERM)
        await running.exit_code()
        assert await instances() == []
