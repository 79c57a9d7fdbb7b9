from __future__ import annotations

import asyncio

from services.defaults.health import CHECK_TIMEOUT_S, Health


async def well() -> None:
    return None


async def broken() -> None:
    raise ConnectionError("postgres://user:password@host is away")


async def test_ready_while_every_check_passes() -> None:
    ready, body = await Health("shop", "1.2", {"postgres": well}).report()
    assert ready
    assert (body["status"], body["service"], body["release"]) == ("pass", "shop", "1.2")
    assert body["checks"]["postgres"]["status"] == "pass"
    assert body["checks"]["postgres"]["latencyMs"] >= 0


async def test_a_failing_check_makes_it_unready_and_tells_no_secret() -> None:
    ready, body = await Health("shop", "1", {"postgres": broken}).report()
    assert not ready
    assert body["checks"]["postgres"]["status"] == "fail"
    assert "password" not in str(body)


async def test_an_optional_check_only_warns() -> None:
    ready, body = await Health("shop", "1", {"postgres": well}, optional={"redis": broken}).report()
    assert ready
    assert body["status"] == "warn"
    assert body["checks"]["redis"]["status"] == "warn"


async def test_a_check_that_hangs_counts_as_failed() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    ready, body = await Health("shop", "1", {"postgres": hangs}).report()
    assert not ready
    assert body["checks"]["postgres"]["output"] == "no answer in time"
    assert body["checks"]["postgres"]["latencyMs"] >= CHECK_TIMEOUT_S * 900


async def test_unready_while_draining() -> None:
    health = Health("shop", "1", {"postgres": well})
    health.draining = True
    ready, body = await health.report()
    assert not ready
    assert body["output"] == "stopping"


async def test_many_probes_at_once_cost_one_check() -> None:
    calls = 0

    async def counted() -> None:
        nonlocal calls
        calls += 1

    health = Health("shop", "1", {"postgres": counted})
    await asyncio.gather(*(health.report() for _ in range(20)))
    assert calls == 1
