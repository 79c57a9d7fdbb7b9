"""The parts together: everyone well and registered, each database its service's own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import asyncpg
import pytest

from services.apphost.system import System
from tests.integration.shop import Shop, eventually

pytestmark = pytest.mark.integration

HTTP_PARTS = ("gateway", "identity", "ordering", "catalog_admin", "notifications", "payments", "mailbox")
REGISTERED = ("gateway", "identity", "ordering", "catalog", "notifications")
DATABASES = ("catalog", "identity", "ordering")


async def get(url: str) -> tuple[int, Any]:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("part", HTTP_PARTS)
async def test_everything_is_ready_and_alive(system: System, part: str) -> None:
    status, health = await get(f"{system.urls[part]}/health")
    assert (status, health["status"]) == (200, "pass"), health
    assert (await get(f"{system.urls[part]}/alive"))[0] == 200


@pytest.mark.parametrize("service", REGISTERED)
async def test_everyone_passes_in_consul(system: System, service: str) -> None:
    async def passing() -> list[Any]:
        url = f"{system.urls['consul']}/v1/health/service/{service}?passing=true"
        instances: list[Any] = (await get(url))[1]
        return instances

    assert len(await eventually(passing)) == 1


@pytest.mark.parametrize("owner", DATABASES)
async def test_no_service_can_read_anothers_database(system: System, owner: str) -> None:
    own = system.urls[f"{owner}_database"]
    await (await asyncpg.connect(own)).close()
    for other in DATABASES:
        if other != owner:
            url = own.rpartition("/")[0] + f"/{other}"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(url)


async def test_health_follows_the_database_down_and_up(system: System) -> None:
    url = f"{system.urls['identity']}/health"

    async def red() -> bool:
        return (await get(url))[0] == 503

    async def green() -> bool:
        return (await get(url))[0] == 200

    with system.frozen("postgres"):
        assert await eventually(red, within_s=5)
        assert (await get(f"{system.urls['identity']}/alive"))[0] == 200
    assert await eventually(green, within_s=15)


async def test_a_crashed_service_comes_back_and_serves(system: System, shop: Shop) -> None:
    await asyncio.to_thread(system.restart, "catalog")

    async def browsing() -> bool:
        _, body = await shop.post_graphql({"query": f"{{ concerts(first: {7}) {{ nodes {{ id }} }} }}"})
        return not body.get("errors")

    assert await eventually(browsing)


async def test_logs_are_json_with_trace_ids_and_no_password(system: System, shop: Shop) -> None:
    account = await shop.register()
    text = "\n".join(system.output)
    assert account["password"] not in text
    lines = [line[line.index("{") :] for line in system.output if '"service"' in line and "{" in line]
    assert all(json.loads(line)["level"] for line in lines)
    assert lines
