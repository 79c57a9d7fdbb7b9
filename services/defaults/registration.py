"""How a process makes itself known in Consul, and stays known.

The agent checks `/health` by itself; an instance that stays critical for a minute is forgotten. An agent that
restarted empty has lost every registration, so each process looks for its own and registers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consul.aio import Consul
from consul.check import Check

from services.defaults.consul_agent import log_consul_failure, open_consul
from services.defaults.discovery import Endpoint
from services.defaults.outages import back_off_s
from services.defaults.settings import CommonSettings, SettingsError

Ready = Callable[[], Awaitable[bool]]
logger = logging.getLogger(__name__)


async def not_yet() -> bool:
    """For whoever leaves the first word to the agent's check."""
    return False


@dataclass(frozen=True)
class Instance:
    """This process, as others shall find it."""

    name: str
    endpoint: Endpoint
    health_url: str
    tags: Sequence[str] = ()
    release: str = ""

    @property
    def id(self) -> str:
        """Stable for as long as the process lives, and the same again if it restarts in its place."""
        return f"{self.name}-{self.endpoint.host}-{self.endpoint.port}"


class Registration:
    """Keeps one instance registered from entry to exit, through every restart of the agent.

    Neither waits for Consul to be there: entry starts the tries, exit gives it `call_timeout_s`.
    """

    def __init__(
        self,
        consul: Consul,
        instance: Instance,
        *,
        ready: Ready = not_yet,
        refresh_s: float = 3.0,
        call_timeout_s: float = 3.0,
    ) -> None:
        self._consul = consul
        self._instance = instance
        self._ready = ready
        self._refresh_s = refresh_s
        self._call_timeout_s = call_timeout_s
        self._registered = False  # by this process: what a predecessor left may be out of date

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=f"register:{self._instance.id}")

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(self._call_timeout_s):
                # Of an unknown service an old agent says 200 and a newer one 404; py-consul takes both.
                await self._consul.agent.service.deregister(self._instance.id)
        except Exception as error:  # the agent forgets us by itself: DeregisterCriticalServiceAfter
            log_consul_failure(f"leaving as {self._instance.id}", 1, error)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._call_timeout_s):
                    await self._ensure_registered()
            except Exception as error:  # whatever it is, the next try may succeed
                failures += 1
                log_consul_failure(f"registering as {self._instance.id}", failures, error)
                await asyncio.sleep(back_off_s(failures, self._refresh_s))
            else:
                failures = 0
                await asyncio.sleep(self._refresh_s)

    async def _ensure_registered(self) -> None:
        if self._registered and await self._is_registered():
            return  # registering again each time would start the check anew, and write to the whole cluster
        instance = self._instance
        # Callers need not wait for the agent's first look at an instance that knows itself to be well.
        status = "passing" if await self._ready() else "critical"
        # Nothing here that Consul 1.8 does not know: it refuses a registration with an unknown field.
        await self._consul.agent.service.register(
            instance.name,
            service_id=instance.id,
            address=instance.endpoint.host,
            port=instance.endpoint.port,
            tags=list(instance.tags),
            meta={"release": instance.release},
            check=Check.http(instance.health_url, "5s", timeout="2s", deregister="1m") | {"Status": status},
        )
        self._registered = True
        logger.info("registered in consul", extra={"instance": instance.id})

    async def _is_registered(self) -> bool:
        # Not by asking for the one service: releases differ in how they say no, and py-consul omits the token.
        known = await self._consul.agent.services(filter_expr=f'ID == "{self._instance.id}"')
        return self._instance.id in known


@asynccontextmanager
async def open_registration(
    settings: CommonSettings, name: str, *, tags: Sequence[str] = (), ready: Ready = not_yet
) -> AsyncIterator[None]:
    """Registers this process as `name` while inside, unless the settings name no Consul or turn it off."""
    if not (settings.consul_http_addr and settings.consul_register):
        yield
        return
    instance = own_instance(settings, name, tags)
    async with open_consul(settings) as consul, Registration(consul, instance, ready=ready):
        yield


def own_instance(settings: CommonSettings, name: str, tags: Sequence[str] = ()) -> Instance:
    """What to register; raises `SettingsError` where the settings leave open how others reach us."""
    endpoint = Endpoint(settings.host, settings.port)
    if settings.advertise:
        try:
            endpoint = Endpoint.parse(settings.advertise)
        except ValueError as error:
            raise SettingsError(f"ADVERTISE: {error}") from None
    if endpoint.host in ("", "0.0.0.0", "::"):  # noqa: S104  # compared with, not bound to
        raise SettingsError("ADVERTISE: is needed to register in Consul, as HOST is every address")
    health = Endpoint(endpoint.host, settings.admin_port or endpoint.port)
    return Instance(name, endpoint, f"http://{health}/health", tuple(tags), settings.release)
