"""Finding instances: turns, static addresses, and Consul through churn, silence and restarts."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from consul.aio import Consul

from services.defaults.consul_agent import open_consul
from services.defaults.deadline import deadline_scope, remaining_s
from services.defaults.discovery import (
    ConsulDiscovery,
    ConsulTiming,
    Endpoint,
    LastKnown,
    Rotation,
    StaticDiscovery,
    next_index,
    open_discovery,
    parse_addresses,
)
from services.defaults.errors import Unavailable
from services.defaults.settings import CommonSettings, SettingsError
from tests.defaults.loopback import completed, eventually, serving, unused_port

A, B, C = (Endpoint("10.0.0.1", port) for port in (1, 2, 3))
QUICK = ConsulTiming(
    wait_s=0.4, margin_s=0.5, first_answer_s=0.5, idle_pause_s=0.02, empty_grace_s=0.5, back_off_max_s=0.1
)


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def consul_discovery(
    address: str, fallback: StaticDiscovery | None = None, timing: ConsulTiming = QUICK
) -> AsyncIterator[ConsulDiscovery]:
    async with open_consul(CommonSettings(port=1, consul_http_addr=address)) as consul:
        discovery = ConsulDiscovery(consul, fallback, timing=timing)
        try:
            yield discovery
        finally:
            await discovery.close()


class TestEndpoint:
    @pytest.mark.parametrize(
        ("text", "endpoint"),
        [
            ("127.0.0.1:80", Endpoint("127.0.0.1", 80)),
            (" catalog.internal:50051 ", Endpoint("catalog.internal", 50051)),
            ("[::1]:8080", Endpoint("::1", 8080)),
        ],
    )
    def test_is_read_and_written(self, text: str, endpoint: Endpoint) -> None:
        assert Endpoint.parse(text) == endpoint
        assert str(endpoint) == text.strip()

    @pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:0", "host:65536", "host:x", "host:٣"])
    def test_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not host:port"):
            Endpoint.parse(text)


class TestRotation:
    def test_every_instance_gets_its_turn(self) -> None:
        rotation = Rotation()
        picks = [rotation.pick("catalog", [A, B, C]) for _ in range(30)]
        assert {endpoint: picks.count(endpoint) for endpoint in (A, B, C)} == {A: 10, B: 10, C: 10}

    def test_callers_do_not_all_start_with_the_same(self) -> None:
        assert {Rotation().pick("catalog", [A, B, C]) for _ in range(200)} == {A, B, C}

    def test_one_that_refused_is_left_out_for_a_while(self) -> None:
        clock = Clock()
        rotation = Rotation(left_out_s=5, clock=clock)
        rotation.refused("catalog", B)
        assert {rotation.pick("catalog", [A, B, C]) for _ in range(9)} == {A, C}
        assert {rotation.pick("identity", [A, B]) for _ in range(4)} == {A, B}
        clock.now += 5
        assert {rotation.pick("catalog", [A, B, C]) for _ in range(9)} == {A, B, C}

    def test_when_all_refused_all_are_tried(self) -> None:
        rotation = Rotation()
        rotation.refused("catalog", A)
        rotation.refused("catalog", B)
        assert {rotation.pick("catalog", [A, B]) for _ in range(4)} == {A, B}

    def test_no_instance_is_unavailable(self) -> None:
        with pytest.raises(Unavailable, match="catalog") as caught:
            Rotation().pick("catalog", [])
        assert caught.value.retry_after_s == 1


class TestLastKnown:
    def test_an_empty_answer_is_believed_only_after_the_grace(self) -> None:
        clock = Clock()
        view = LastKnown(empty_grace_s=15, clock=clock)
        assert view.update([A, B])
        assert not view.update([])
        clock.now += 14.9
        assert set(view.endpoints) == {A, B}
        clock.now += 0.1
        assert not view.endpoints
        assert not view.update([])
        assert not view.endpoints
        assert view.update([C])
        assert set(view.endpoints) == {C}

    def test_a_gap_shorter_than_the_grace_leaves_no_trace(self) -> None:
        clock = Clock()
        view = LastKnown(empty_grace_s=15, clock=clock)
        answers: Sequence[list[Endpoint]] = ([A], [], [A], [])
        for found in answers:
            view.update(found)
            clock.now += 10
        assert set(view.endpoints) == {A}

    def test_the_same_set_in_another_order_is_no_change(self) -> None:
        view = LastKnown(empty_grace_s=15)
        assert view.update([A, B])
        assert not view.update([B, A, A])
        assert view.update([A])


@pytest.mark.parametrize(
    ("asked", "answered", "following"), [(0, 7, 7), (7, 7, 7), (7, 9, 9), (9, 7, 0), (0, 0, 0), (3, -1, 0)]
)
def test_an_index_that_runs_backwards_starts_anew(asked: int, answered: int, following: int) -> None:
    assert next_index(asked, answered) == following


class TestStaticAddresses:
    async def test_they_are_the_instances_where_no_consul_is_named(self) -> None:
        settings = CommonSettings(port=1)
        async with open_discovery(settings, {"catalog": "10.0.0.1:1, 10.0.0.1:2,"}) as discovery:
            assert await discovery.endpoints("catalog") == (A, B)
            assert {await discovery.pick("catalog") for _ in range(2)} == {A, B}
            discovery.refused("catalog", A)
            assert {await discovery.pick("catalog") for _ in range(4)} == {B}
            assert await discovery.endpoints("unheard-of") == ()
            with pytest.raises(Unavailable):
                await discovery.pick("unheard-of")

    def test_every_malformed_list_is_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            parse_addresses({"catalog": "nowhere", "identity": "a:1", "ordering": "b:99999"})
        assert "CATALOG_ADDR: 'nowhere'" in str(caught.value)
        assert "ORDERING_ADDR: 'b:99999'" in str(caught.value)
        assert "IDENTITY" not in str(caught.value)

    @pytest.mark.parametrize("address", ["ftp://127.0.0.1", "http://"])
    async def test_a_consul_address_must_make_sense(self, address: str) -> None:
        with pytest.raises(SettingsError, match="CONSUL_HTTP_ADDR"):
            async with open_discovery(CommonSettings(port=1, consul_http_addr=address), {}):
                pass


class TestConsul:
    """Against a real agent."""

    async def test_follows_instances_as_they_come_and_go(self, consul_addr: str) -> None:
        async with open_consul(CommonSettings(port=1, consul_http_addr=consul_addr)) as consul:
            await register(consul, "churn", 1)
            async with consul_discovery(consul_addr) as discovery:
                assert await ports(discovery, "churn") == {1}
                await register(consul, "churn", 2)
                await eventually(lambda: sees(discovery, "churn", {1, 2}))
                await consul.agent.service.deregister("churn-1")
                await eventually(lambda: sees(discovery, "churn", {2}))
                await consul.agent.service.deregister("churn-2")
                await eventually(lambda: sees(discovery, "churn", set()))

    async def test_only_passing_instances_count(self, consul_addr: str) -> None:
        async with open_consul(CommonSettings(port=1, consul_http_addr=consul_addr)) as consul:
            await register(consul, "sick", 1)
            await register(consul, "sick", 2, check={"ttl": "60s", "status": "critical"})
            async with consul_discovery(consul_addr) as discovery:
                assert await ports(discovery, "sick") == {1}
                await consul.agent.check.ttl_pass("service:sick-2")
                await eventually(lambda: sees(discovery, "sick", {1, 2}))

    async def test_static_addresses_stand_in_while_consul_knows_none(self, consul_addr: str) -> None:
        settings = CommonSettings(port=1, consul_http_addr=consul_addr)
        async with (
            open_consul(settings) as consul,
            open_discovery(settings, {"late": "10.0.0.1:9"}) as discovery,
        ):
            assert await discovery.pick("late") == Endpoint("10.0.0.1", 9)
            await register(consul, "late", 1)
            await eventually(lambda: sees(discovery, "late", {1}))


async def test_a_watch_takes_nothing_of_the_request_that_started_it() -> None:
    asked = asyncio.get_running_loop().create_future()

    class Health:
        async def service(self, *_: object, **__: object) -> tuple[str, list[object]]:
            asked.set_result(remaining_s(30.0))
            return "1", []

    class OnlyHealth:
        health = Health()

    discovery = ConsulDiscovery(OnlyHealth())
    with deadline_scope(0.5):
        await discovery.endpoints("catalog")
    await discovery.close()
    assert asked.result() == 30.0


class TestConsulAway:
    async def test_a_refused_connection_costs_nothing(self) -> None:
        fallback = StaticDiscovery({"catalog": [A]})
        async with consul_discovery(f"http://127.0.0.1:{unused_port()}", fallback) as discovery:
            began = time.monotonic()
            assert await discovery.endpoints("catalog") == (A,)
            assert time.monotonic() - began < QUICK.first_answer_s

    async def test_a_silent_agent_costs_the_first_caller_a_bounded_wait_and_later_ones_none(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            patient = ConsulTiming(margin_s=30, first_answer_s=0.3)
            async with consul_discovery(address, StaticDiscovery({"catalog": [A]}), patient) as discovery:
                began = time.monotonic()
                assert await discovery.endpoints("catalog") == (A,)
                assert 0.25 < time.monotonic() - began < 2
                began = time.monotonic()
                assert await discovery.endpoints("catalog") == (A,)
                assert time.monotonic() - began < 0.1


class ScriptedConsul:
    """Answers the health queries as told; its last answer is held until the wait is over, as Consul would."""

    def __init__(self, *answers: tuple[int, list[int]]) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.broken: Any = None

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        if self.broken is not None:
            return web.Response(**self.broken)
        index, ports = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if len(self._answers) == 1 and "index" in request.query:
            await asyncio.sleep(float(request.query["wait"].removesuffix("s")))
        nodes = [{"Node": {"Address": "10.0.0.1"}, "Service": {"Address": "", "Port": p}} for p in ports]
        return web.json_response(nodes, headers={"X-Consul-Index": str(index)})


@asynccontextmanager
async def answering(consul: ScriptedConsul) -> AsyncIterator[str]:
    async with serving(consul.answer) as endpoint:
        yield f"http://{endpoint}"


class TestBlockingQueries:
    async def test_carry_the_index_and_start_anew_when_it_runs_backwards(self) -> None:
        consul = ScriptedConsul((50, [1]), (60, [1, 2]), (7, [1, 2]), (8, [3]))
        async with answering(consul) as address, consul_discovery(address) as discovery:
            await eventually(lambda: sees(discovery, "catalog", {3}))
            await eventually(lambda: completed(lambda: len(consul.asked) >= 5))
        assert [query.get("index") for query in consul.asked[:5]] == [None, "50", "60", None, "8"]
        assert consul.asked[0] == {"passing": "1"}
        assert consul.asked[1] == {"passing": "1", "index": "50", "wait": "0.4s"}

    async def test_empty_wake_ups_do_not_turn_into_a_busy_loop(self) -> None:
        wake_ups = [(index, [1]) for index in range(1, 500)]
        consul = ScriptedConsul(*wake_ups)
        async with answering(consul) as address, consul_discovery(address) as discovery:
            assert await ports(discovery, "catalog") == {1}
            await asyncio.sleep(0.3)
        assert 2 <= len(consul.asked) <= 0.3 / QUICK.idle_pause_s + 3

    @pytest.mark.parametrize(
        "broken",
        [
            {"status": 500, "text": "No cluster leader"},
            {"status": 403, "text": "Permission denied"},
            {"status": 200, "text": "<html>", "headers": {"X-Consul-Index": "5"}},
            {"status": 200, "text": "[]"},
            {"status": 200, "text": '[{"Service": {}}]', "headers": {"X-Consul-Index": "5"}},
        ],
        ids=["500", "403", "no JSON", "no index", "no port"],
    )
    async def test_a_bad_answer_leaves_what_was_known(self, broken: dict[str, Any]) -> None:
        consul = ScriptedConsul((5, [1]), (6, [2]))
        async with answering(consul) as address, consul_discovery(address) as discovery:
            assert await ports(discovery, "catalog") == {1}
            consul.broken = broken
            asked = len(consul.asked)
            await eventually(lambda: completed(lambda: len(consul.asked) >= asked + 3))
            assert (await ports(discovery, "catalog")) <= {1, 2} != set()
            assert "index" not in consul.asked[asked + 1]  # a restarted agent's index begins anew
            consul.broken = None
            await eventually(lambda: sees(discovery, "catalog", {2}))


async def register(consul: Consul, name: str, port: int, check: dict[str, str] | None = None) -> None:
    await consul.agent.service.register(name, f"{name}-{port}", "10.0.0.1", port, check=check)


async def ports(discovery: ConsulDiscovery, service: str) -> set[int]:
    return {endpoint.port for endpoint in await discovery.endpoints(service)}


async def sees(discovery: Any, service: str, expected: set[int]) -> bool:
    return await ports(discovery, service) == expected
