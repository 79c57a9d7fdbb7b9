"""Consul's view of the system: who is registered, and what their last health check answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from consul.aio import Consul

from services.dashboard.parts import Health, Part, read_health
from services.defaults.consul_agent import open_consul
from services.defaults.errors import Unavailable
from services.defaults.settings import CommonSettings

TIMEOUT_S: Final = 3.0
_STATUSES: Final = {"passing": "pass", "warning": "warn", "critical": "fail"}


class Registry(Protocol):
    """Who is there. Raises `Unavailable` while Consul does not answer."""

    async def parts(self) -> Sequence[Part]: ...


class ConsulRegistry:
    """Every registered instance, with what Consul last heard from its `/health`."""

    def __init__(self, consul: Consul) -> None:
        self._consul = consul

    async def parts(self) -> Sequence[Part]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, names = await self._consul.catalog.services()
                answers = await asyncio.gather(*(self._consul.health.service(name) for name in sorted(names)))
        except Exception as error:  # py-consul raises what aiohttp does, and errors of its own
            raise Unavailable("Consul does not answer.") from error
        return [part for _, nodes in answers for part in _instances(nodes)]


@asynccontextmanager
async def open_registry(settings: CommonSettings) -> AsyncIterator[Registry | None]:
    """The agent that the settings name; None where they name none."""
    if not settings.consul_http_addr:
        yield None
        return
    async with open_consul(settings) as consul:
        yield ConsulRegistry(consul)


def _instances(nodes: Sequence[Mapping[str, Any]]) -> list[Part]:
    return [_part(node, number, len(nodes)) for number, node in enumerate(nodes, 1)]


def _part(node: Mapping[str, Any], number: int, instances: int) -> Part:
    service = node["Service"]
    checks = [check for check in node["Checks"] if check.get("ServiceID") == service["ID"]]
    host = service["Address"] or node["Node"]["Address"]
    return Part(
        name=service["Service"] if number == 1 else f"{service['Service']}-{number}",
        kind="server" if service["Service"] == "consul" else "service",
        service=service["Service"],
        state="running",
        instances=instances,
        address=f"{host}:{service['Port']}",
        health=_health(checks),
    )


def _health(checks: Sequence[Mapping[str, Any]]) -> Health | None:
    """The worst check's word; what the process itself said of its dependencies, where Consul kept it."""
    if not checks:
        return None
    worst = min(checks, key=lambda check: list(reversed(_STATUSES)).index(check["Status"]))
    told = _told(str(worst.get("Output") or ""))
    status = _STATUSES[worst["Status"]]
    return Health(status, told.output if told else str(worst.get("Output") or ""), told.dependencies if told else ())


def _told(output: str) -> Health | None:
    """Consul keeps an HTTP check's answer as `HTTP GET …: 200 OK Output: {…}`, cut at 4 kB."""
    _, _, body = output.partition("Output: ")
    try:
        return read_health(json.loads(body))
    except ValueError:
        return None
