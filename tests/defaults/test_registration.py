"""A process in Consul: registered, checked, found, registered again after the agent lost it, gone at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from consul.aio import Consul

from services.apphost.lifetime import start_part
from services.apphost.ports import free_ports
from services.apphost.process import Process
from services.apphost.servers.consul import ConsulPorts, consul_url, find_consul
from services.apphost.servers.consul import consul as consul_part
from services.defaults.consul_agent import open_consul
from services.defaults.discovery import ConsulDiscovery, ConsulTiming, Endpoint, open_discovery
from services.defaults.registration import Instance, Registration, open_registration, own_instance
from services.defaults.settings import CommonSettings, SettingsError
from tests.defaults.loopback import completed, eventually, serving, unused_port

STOP_S = 5.0


class Agent:
    """A real agent of the test's own, that may be frozen, killed and started again without its memory."""

    def __init__(self, folder: Path) -> None:
        http, gossip, server = free_ports(3)
        self.url = consul_url(http)
        self._ports = ConsulPorts(http=http, gossip=gossip, server=server)
        self._folder = folder
        self._starts = 0
        self._process: Process | None = None

    async def start(self) -> None:
        program = find_consul()
        assert program, "There is no consul on PATH or under .ticketflow/: run `make setup`."
        self._starts += 1
        part = consul_part(program, self._folder / str(self._starts), self._ports)
        self._process = await start_part(part, lambda _line: None)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop(STOP_S)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path)
    try:
        yield agent
    finally:
        await agent.stop()


@asynccontextmanager
async def healthy_server() -> AsyncIterator[Endpoint]:
    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"status": "pass"})

    async with serving(health) as endpoint:
        yield endpoint


@asynccontextmanager
async def recording_agent(sent: list[dict[str, Any]]) -> AsyncIterator[str]:
    """An agent that demands its ACL token, and keeps what it is sent. Of whom it does not know it says 404."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("X-Consul-Token") != "acl":
            return web.Response(status=403)
        if request.path.startswith("/v1/agent/service/deregister/"):
            return web.Response(status=404, text="Unknown service ID")
        if request.path == "/v1/agent/service/register":
            sent.append(await request.json())
        return web.json_response({service["id"]: {} for service in sent})

    async with serving(answer) as endpoint:
        yield f"http://{endpoint}"


async def is_registered(consul: Consul, service_id: str) -> bool:
    return await consul.agent.service_definition(service_id) is not None


class TestRegistration:
    async def test_a_healthy_process_is_found_and_leaves_at_the_end(self, consul_addr: str) -> None:
        async with healthy_server() as endpoint:
            settings = CommonSettings(port=endpoint.port, consul_http_addr=consul_addr, release="1.2.3")
            async with open_consul(settings) as consul, open_discovery(settings, {}) as discovery:
                async with open_registration(settings, "shop", tags=["http"]):

                    async def is_found() -> bool:
                        return list(await discovery.endpoints("shop")) == [endpoint]

                    await eventually(is_found, within_s=12)
                    _, (node,) = await consul.health.service("shop")
                assert not await is_registered(consul, f"shop-127.0.0.1-{endpoint.port}")
        assert node["Service"]["ID"] == f"shop-127.0.0.1-{endpoint.port}"
        assert node["Service"]["Tags"] == ["http"]
        assert node["Service"]["Meta"] == {"release": "1.2.3"}
        (check,) = (check for check in node["Checks"] if check["ServiceName"] == "shop")
        assert check["Output"].startswith(f"HTTP GET http://{endpoint}/health: 200 OK")

    async def test_what_is_sent_holds_only_what_every_release_knows(self) -> None:
        """Consul 1.8 refuses a registration with an unknown field."""
        sent: list[dict[str, Any]] = []
        async with recording_agent(sent) as address:
            settings = CommonSettings(port=8081, consul_http_addr=address, consul_http_token="acl", release="r")
            async with open_registration(settings, "identity", tags=["http"]):
                await eventually(lambda: completed(lambda: bool(sent)))
        assert sent[0] == {
            "name": "identity",
            "id": "identity-127.0.0.1-8081",
            "address": "127.0.0.1",
            "port": 8081,
            "tags": ["http"],
            "meta": {"release": "r"},
            "checks": [
                {
                    "http": "http://127.0.0.1:8081/health",
                    "interval": "5s",
                    "timeout": "2s",
                    "DeregisterCriticalServiceAfter": "1m",
                    "Status": "critical",
                }
            ],
        }

    async def test_a_process_that_knows_itself_well_is_found_at_once(self, consul_addr: str) -> None:
        async def well() -> bool:
            return True

        settings = CommonSettings(port=unused_port(), consul_http_addr=consul_addr)  # nothing that a check could see
        async with open_consul(settings) as consul, open_registration(settings, "quick-shop", ready=well):

            async def passes() -> bool:
                return bool((await consul.health.service("quick-shop", passing=True))[1])

            await eventually(passes, within_s=5)
            (found,) = (await consul.health.service("quick-shop"))[1]
            assert found["Service"]["Port"] == settings.port

    async def test_a_sick_process_is_registered_and_not_found(self, consul_addr: str) -> None:
        settings = CommonSettings(port=unused_port(), consul_http_addr=consul_addr)
        async with (
            open_consul(settings) as consul,
            open_registration(settings, "sick-shop"),
            open_discovery(settings, {}) as discovery,
        ):
            await eventually(lambda: is_registered(consul, f"sick-shop-127.0.0.1-{settings.port}"))
            assert not await discovery.endpoints("sick-shop")

    async def test_a_known_instance_is_left_alone(self) -> None:
        """Registering again would start its check anew."""
        sent: list[dict[str, Any]] = []
        async with recording_agent(sent) as address:
            settings = CommonSettings(port=8081, consul_http_addr=address, consul_http_token="acl")
            async with (
                open_consul(settings) as consul,
                Registration(consul, own_instance(settings, "calm"), refresh_s=0.02),
            ):
                await eventually(lambda: completed(lambda: bool(sent)))
                await asyncio.sleep(0.2)
        assert len(sent) == 1

    async def test_one_that_was_deregistered_by_hand_comes_back(self, consul_addr: str) -> None:
        settings = CommonSettings(port=unused_port(), consul_http_addr=consul_addr)
        instance = own_instance(settings, "stubborn")
        async with open_consul(settings) as consul:
            async with Registration(consul, instance, refresh_s=0.05):
                await eventually(lambda: is_registered(consul, instance.id))
                await consul.agent.service.deregister(instance.id)
                await eventually(lambda: is_registered(consul, instance.id))
            assert not await is_registered(consul, instance.id)

    async def test_what_a_predecessor_left_is_replaced(self, consul_addr: str) -> None:
        settings = CommonSettings(port=unused_port(), consul_http_addr=consul_addr, release="2")
        instance = own_instance(settings, "reborn")
        async with open_consul(settings) as consul:
            await consul.agent.service.register(
                "reborn", instance.id, "127.0.0.1", settings.port, meta={"release": "1"}
            )

            async def is_new() -> bool:
                return bool((await consul.agent.service_definition(instance.id))["Meta"] == {"release": "2"})

            async with Registration(consul, instance, refresh_s=0.05):
                await eventually(is_new)
                assert len((await consul.health.service("reborn"))[1]) == 1

    async def test_where_nomad_registers_the_process_does_not(self, consul_addr: str) -> None:
        settings = CommonSettings(port=unused_port(), consul_http_addr=consul_addr, consul_register=False)
        async with open_consul(settings) as consul, open_registration(settings, "nomadic"):
            await asyncio.sleep(0.2)
            assert not await is_registered(consul, f"nomadic-127.0.0.1-{settings.port}")


class TestAgentFaults:
    """One agent of its own, through everything that may befall it."""

    async def test_down_at_first_then_up_frozen_and_restarted_empty(self, agent: Agent) -> None:
        settings = CommonSettings(port=unused_port(), consul_http_addr=agent.url)
        instance = Instance("shop", Endpoint("127.0.0.1", settings.port), "http://127.0.0.1:9/health")
        other = Endpoint("10.0.0.1", 7)
        timing = ConsulTiming(wait_s=0.5, margin_s=0.3, idle_pause_s=0.02, empty_grace_s=30, back_off_max_s=0.2)
        async with open_consul(settings) as consul:
            discovery = ConsulDiscovery(consul, timing=timing)

            async def other_is_known() -> bool:
                return list(await discovery.endpoints("other")) == [other]

            async def newcomer_is_known() -> bool:
                return len(await discovery.endpoints("other")) == 2

            async with Registration(consul, instance, refresh_s=0.1, call_timeout_s=0.5):
                assert not await discovery.endpoints("other")  # nobody there, and nobody waited

                await agent.start()
                await eventually(lambda: is_registered(consul, instance.id))
                await register_other(consul, other)
                await eventually(other_is_known)

                agent.send(signal.SIGSTOP)
                await asyncio.sleep(1.5)  # several queries time out meanwhile
                began = time.monotonic()
                assert await other_is_known()
                assert time.monotonic() - began < 0.1
                agent.send(signal.SIGCONT)
                await register_other(consul, Endpoint("10.0.0.1", 8))
                await eventually(newcomer_is_known)

                await agent.stop()
                assert await newcomer_is_known()
                await agent.start()
                await eventually(lambda: is_registered(consul, instance.id))
                assert await newcomer_is_known()  # an agent without memory says "none": not believed at once
                await register_other(consul, Endpoint("10.0.0.2", 9))
                await eventually(lambda: knows_only(discovery, Endpoint("10.0.0.2", 9)))
            await discovery.close()
            assert not await is_registered(consul, instance.id)

    async def test_a_frozen_agent_holds_up_neither_start_nor_end(self, agent: Agent) -> None:
        await agent.start()
        settings = CommonSettings(port=unused_port(), consul_http_addr=agent.url)
        agent.send(signal.SIGSTOP)
        began = time.monotonic()
        async with (
            open_consul(settings) as consul,
            Registration(consul, own_instance(settings, "late"), call_timeout_s=0.3),
        ):
            entered_after_s = time.monotonic() - began
        assert entered_after_s < 0.2
        assert time.monotonic() - began < 2
        agent.send(signal.SIGCONT)


class TestOwnInstance:
    def test_is_at_host_and_port_with_health_at_the_admin_port(self) -> None:
        instance = own_instance(CommonSettings(port=50051, admin_port=8083, release="r"), "catalog", ["grpc"])
        assert instance == Instance(
            "catalog", Endpoint("127.0.0.1", 50051), "http://127.0.0.1:8083/health", ("grpc",), "r"
        )
        assert instance.id == "catalog-127.0.0.1-50051"

    def test_is_where_it_is_advertised(self) -> None:
        settings = CommonSettings(host="0.0.0.0", port=8081, advertise="[fd00::7]:9000")
        instance = own_instance(settings, "identity")
        assert instance.endpoint == Endpoint("fd00::7", 9000)
        assert instance.health_url == "http://[fd00::7]:9000/health"

    @pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"host": "::"}, {"advertise": "nowhere"}])
    def test_must_be_reachable(self, settings: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="ADVERTISE"):
            own_instance(CommonSettings(port=8081, **settings), "identity")


async def register_other(consul: Consul, endpoint: Endpoint) -> None:
    await consul.agent.service.register("other", f"other-{endpoint.port}", endpoint.host, endpoint.port)


async def knows_only(discovery: ConsulDiscovery, endpoint: Endpoint) -> bool:
    return list(await discovery.endpoints("other")) == [endpoint]
