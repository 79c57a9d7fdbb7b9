"""The pages as a process of their own: it ends at once, however many look at it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from services.apphost.ports import free_ports

ROOT = Path(__file__).parents[2]
START_S = 60
READERS = 40


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port, otlp, otlp_grpc = free_ports(3)
    env = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "OTLP_PORT": str(otlp),
        "OTLP_GRPC_PORT": str(otlp_grpc),
        "DASHBOARD_DB": str(tmp_path / "telemetry.db"),
        "DRAIN_S": "0",
    }
    command = (sys.executable, "-m", "services.dashboard")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env)
    yield process, f"http://127.0.0.1:{port}"
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_it_ends_with_streams_open(process: tuple[asyncio.subprocess.Process, str]) -> None:
    running, url = process
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await until_ready(session, url)
        addresses = [f"{url}/live/{path}" for path in ("", "logs", "traces", "signals") for _ in range(READERS // 4)]
        streams = await asyncio.gather(*(session.get(address) for address in addresses))
        for stream in streams:
            assert (await stream.content.readuntil(b"<h1>")).startswith(b"retry: 2000")
        running.send_signal(signal.SIGTERM)
        # Grace is 20 s: whatever waits for its readers to go takes longer than this.
        assert await asyncio.wait_for(running.wait(), 12) == 0
        for stream in streams:
            stream.close()


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                async with session.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
