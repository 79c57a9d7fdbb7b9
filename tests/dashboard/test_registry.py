"""Consul's view, at a real agent."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from services.dashboard.registry import open_registry
from services.defaults.errors import Unavailable
from services.defaults.settings import CommonSettings


def settings(consul: str) -> CommonSettings:
    return CommonSettings(port=0, consul_http_addr=consul)


async def put(consul: str, path: str, body: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as session, session.put(f"{consul}{path}", json=body) as answer:
        assert answer.status == 200


async def test_shows_who_is_registered_and_what_they_said(consul_addr: str) -> None:
    for number in (1, 2):
        check = {"CheckID": f"ticket-shop-{number}", "TTL": "60s"}
        name = {"ID": f"ticket-shop-{number}", "Name": "ticket-shop", "Address": "127.0.0.1", "Port": 7000 + number}
        await put(consul_addr, "/v1/agent/service/register", name | {"Check": check})
    told = '{"status": "warn", "checks": {"redis": {"status": "warn"}}}'
    output = f"HTTP GET http://127.0.0.1:7001/health: 200 OK Output: {told}"
    await put(consul_addr, "/v1/agent/check/update/ticket-shop-1", {"Status": "warning", "Output": output})
    async with open_registry(settings(consul_addr)) as registry:
        assert registry
        async with asyncio.timeout(10):
            while True:  # the agent's catalogue follows a moment later
                parts = {part.name: part for part in await registry.parts()}
                if parts.keys() >= {"ticket-shop", "ticket-shop-2"} and parts["ticket-shop"].mark == "warn":
                    break
                await asyncio.sleep(0.05)
    first, second = parts["ticket-shop"], parts["ticket-shop-2"]
    assert (first.address, first.instances, first.managed) == ("127.0.0.1:7001", 2, False)
    assert first.health
    assert [each.name for each in first.health.dependencies] == ["redis"]
    assert (second.address, second.mark) == ("127.0.0.1:7002", "fail")
    assert first.verbs == ()


async def test_an_agent_that_is_away() -> None:
    async with open_registry(settings("http://127.0.0.1:9")) as registry:
        assert registry
        with pytest.raises(Unavailable, match="Consul does not answer"):
            await registry.parts()


async def test_without_an_address_there_is_no_registry() -> None:
    async with open_registry(settings("")) as registry:
        assert registry is None
