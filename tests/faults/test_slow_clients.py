"""Clients that send a byte now and then: they are cut off, and cost nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.faults.desk import Desk, holds_within

pytestmark = pytest.mark.faults

SOCKETS = 1000
CUT_S = 10.0
ALL_CUT_S = 20.0  # a thousand that come at once are let in one after the other
HEALTH_S = 0.2
HEADERS = b"GET /concerts HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"


@dataclass
class Dripping:
    """One connection. `cut_s`: how long it was endured, in seconds; 0 while it lasts."""

    opening: bytes
    cut_s: float = 0.0

    async def run(self, host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        began = time.monotonic()
        writer.write(self.opening)
        ended = asyncio.create_task(reader.read())  # until the other side closes
        with contextlib.suppress(OSError):
            while not ended.done():
                writer.write(b"a")
                await writer.drain()
                await asyncio.wait({ended}, timeout=1)
        await asyncio.wait({ended})
        with contextlib.suppress(OSError):
            ended.result()
        self.cut_s = time.monotonic() - began
        writer.close()


@pytest.mark.parametrize("part", ["gateway", "identity", "ordering"])
@pytest.mark.parametrize("opening", [HEADERS, BODY], ids=["headers", "body"])
async def test_one_is_cut_off(desk: Desk, part: str, opening: bytes) -> None:
    dripping = Dripping(opening)
    async with asyncio.timeout(CUT_S * 2):
        await dripping.run(*address(desk, part))
    assert 0 < dripping.cut_s < CUT_S


@pytest.mark.slow
async def test_a_thousand_at_once_starve_nobody(desk: Desk) -> None:
    host, port = address(desk, "gateway")
    crowd = [Dripping(opening) for opening in (HEADERS, BODY) for _ in range(SOCKETS // 2)]
    tasks = [asyncio.create_task(each.run(host, port)) for each in crowd]
    try:
        samples = [await health_s(desk) for _ in range(20)]
        assert not all(task.done() for task in tasks)  # or nothing was measured beside them

        async def are_cut() -> bool:
            return all(task.done() for task in tasks)

        await holds_within(are_cut, ALL_CUT_S, f"all are cut off, not only {Counter(bool(x.cut_s) for x in crowd)}")
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    assert statistics.median(samples) < HEALTH_S, samples
    await desk.buy(await desk.publish(1))
    await desk.close()


def address(desk: Desk, part: str) -> tuple[str, int]:
    parts = urlsplit(desk.system.urls[part])
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def health_s(desk: Desk) -> float:
    """Seconds until the gateway says that it is well."""
    began = time.monotonic()
    async with desk.http.get(f"{desk.system.urls['gateway']}/health") as answer:
        assert answer.status == 200
    await asyncio.sleep(0.1)
    return time.monotonic() - began - 0.1
