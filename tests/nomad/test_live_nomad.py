"""The shop on a real Nomad with two clients: deployed, deployed anew under load, and harmed; then the books close.

The numbers that each test prints (`-rP` shows them) are what the runbook's promises rest on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from services.apphost.servers.consul import find_consul
from services.apphost.site import DATABASES
from tests.integration.shop import Shop, eventually
from tests.nomad.live import BUILT, SERVICES, Crowd, LiveShop, crowd_at, frozen, live_shop, until
from tests.nomad.processes import libpq, restore

MISSING = [name for name, path in (("nomad", shutil.which("nomad")), ("consul", find_consul())) if path is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not on PATH: {' and '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Nomad needs root to run the servers under their own accounts"),
    pytest.mark.timeout(1800),
]
FORGOTTEN_S = 90.0  # no registration outlives its instance by more
OUTAGE_S = 45.0
ROLLS = 5
ROLLED = ("catalog", "identity", "ordering", "gateway")  # what a buyer waits for


@pytest.fixture(scope="module")
def shop() -> Iterator[LiveShop]:
    with live_shop() as shop:
        yield shop


def report(what: str, crowd: Crowd, began: float) -> None:
    print(f"{what}: {crowd}, in {time.monotonic() - began:.0f} s")  # noqa: T201 - pytest shows it


async def test_a_ticket_is_bought_through_the_ingress_and_its_mail_arrives(shop: LiveShop) -> None:
    urls = shop.cluster.urls()
    async with aiohttp.ClientSession() as http:
        buyer = Shop(http, urls["gateway"])
        account = await buyer.register()
        order = await buyer.place(await buyer.concert_on_sale())
        paid = await buyer.pay(order["id"])
        assert paid["data"]["payOrder"]["status"] == "CONFIRMED", paid
        assert len(paid["data"]["payOrder"]["tickets"]) == 2

        async def is_mailed() -> list[Any]:
            async with http.get(f"{urls['mailbox']}/api/messages", params={"to": account["email"]}) as answer:
                messages = (await answer.json())["messages"]
            return [each for each in messages if each["subject"].startswith("Your 2 tickets for")]

        await eventually(is_mailed, within_s=30)
    for service in SERVICES:
        entries = shop.registrations(service, passing=True)
        assert {entry["Service"]["Meta"]["release"] for entry in entries} == {"1"}, service
    await shop.close()


async def test_rolling_deployments_under_load_fail_no_request(shop: LiveShop) -> None:
    for number in range(ROLLS):
        began, release = time.monotonic(), f"roll-{number}"
        shop.publish(release)
        async with crowd_at(shop) as crowd:
            # All at once: new callers of old instances, and the other way round.
            results = await asyncio.gather(*(asyncio.to_thread(shop.deploy, release, name) for name in ROLLED))
        report(release, crowd, began)
        assert [result.returncode for result in results] == [0] * len(ROLLED), results
        assert crowd.failures == []
        assert crowd.answered["pay"] > 10
        for service in ROLLED:
            assert {each["Service"]["Meta"]["release"] for each in shop.registrations(service)} == {release}
    await shop.close()


async def test_a_broken_release_goes_back_and_the_deployment_says_so(shop: LiveShop) -> None:
    began = time.monotonic()
    before = {each["ID"] for each in shop.allocations("gateway")}
    shop.publish("broken")
    async with crowd_at(shop) as crowd:
        result = await asyncio.to_thread(shop.deploy, "broken", "gateway", variables={"python": "/bin/false"})
    report("broken release", crowd, began)
    assert result.returncode == 1
    assert "is back in its place" in result.stderr
    assert "stopped at gateway" in result.stderr
    assert crowd.failures == []
    assert before == {each["ID"] for each in shop.allocations("gateway")}


@pytest.mark.parametrize("service", ["gateway", "ordering"])
async def test_a_killed_process_is_started_again(shop: LiveShop, service: str) -> None:
    (allocation,) = shop.allocations(service)
    killed = shop.processes(allocation["ID"])
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    gone_s = await until(lambda: not shop.registrations(service, passing=True), FORGOTTEN_S, "it is gone")
    back_s = await until(lambda: bool(shop.registrations(service, passing=True)), 120, "it is back")
    print(f"{service} killed: gone after {gone_s:.0f} s, back {back_s:.0f} s later")  # noqa: T201 - as above
    assert len(shop.registrations(service)) == 1
    assert not set(killed) & set(shop.processes(allocation["ID"]))
    await until(shop.is_open, 30, "the ingress sends buyers there")
    async with crowd_at(shop) as crowd:
        await asyncio.sleep(5)  # of service as usual
    assert crowd.failures == []
    await shop.close()


@pytest.mark.parametrize("service", ["gateway", "ordering"])
async def test_a_frozen_instance_gets_no_calls_and_is_replaced(shop: LiveShop, service: str) -> None:
    await scale(shop, 2, service)
    victim = shop.allocations(service)[0]["ID"]
    pids, port = shop.processes(victim), shop.port(service, victim)
    with frozen(pids):
        unseen_s = await until(lambda: not shop.is_called(service, port), FORGOTTEN_S, "it gets no calls")
        async with crowd_at(shop) as crowd:
            gone_s = await until(lambda: is_replaced(shop, service, victim, pids), FORGOTTEN_S, "it is gone")
    print(f"{service} frozen: no calls after {unseen_s:.0f} s, gone {gone_s:.0f} s later; {crowd}")  # noqa: T201 - as above
    assert crowd.failures == []
    assert unseen_s + gone_s < FORGOTTEN_S
    await until(lambda: len(shop.registrations(service, passing=True)) == 2, 120, "both are well")
    await scale(shop, 1, service)
    await shop.close()


async def test_a_drained_node_hands_its_services_over(shop: LiveShop) -> None:
    await scale(shop, 2, *ROLLED)
    (second,) = [each["ID"] for each in shop.cluster.nomad("/v1/nodes") if each["Name"] == "node-2"]
    moved = {each["ID"] for name in ROLLED for each in shop.allocations(name) if each["NodeID"] == second}
    assert moved  # the spread puts some there
    began = time.monotonic()
    async with crowd_at(shop) as crowd:
        shop.cluster.nomad(f"/v1/node/{second}/drain", method="PUT", body={"DrainSpec": {"Deadline": 600 * 10**9}})
        await until(lambda: is_moved(shop, second), 600, "nothing runs there, and two of each elsewhere")
    report(f"drain of {len(moved)} instances", crowd, began)
    shop.cluster.nomad(f"/v1/node/{second}/eligibility", method="PUT", body={"Eligibility": "eligible"})
    assert crowd.failures == []
    await shop.close()


async def test_consul_is_away_for_45_seconds(shop: LiveShop) -> None:
    await scale(shop, 1, *ROLLED)
    before = {name: {each["ID"] for each in shop.allocations(name)} for name in SERVICES}
    agent, began = shop.cluster.nodes[0].consul, time.monotonic()
    async with crowd_at(shop) as crowd:
        agent.freeze()
        await asyncio.sleep(OUTAGE_S)  # the outage itself
        agent.thaw()
        await until(lambda: all(shop.registrations(name, passing=True) for name in SERVICES), 60, "Consul knows all")
    report("Consul away", crowd, began)
    assert crowd.failures == []
    assert before == {name: {each["ID"] for each in shop.allocations(name)} for name in SERVICES}
    await shop.close()


async def test_consul_forgets_everything_and_gets_its_keys_back(shop: LiveShop) -> None:
    await scale(shop, 1, *ROLLED)
    before = {name: {each["ID"] for each in shop.allocations(name)} for name in SERVICES}
    shop.run_consul("snapshot", "save", "consul.snap")
    began = time.monotonic()
    async with crowd_at(shop) as crowd:
        shop.restart_consul_empty()
        await until(lambda: all(shop.registrations(name, passing=True) for name in SERVICES), 150, "all are back")
        again_s = time.monotonic() - began
        await asyncio.sleep(OUTAGE_S)  # without a single key
        shop.run_consul("snapshot", "restore", "consul.snap")
        await until(lambda: all(shop.registrations(name, passing=True) for name in SERVICES), 90, "Consul knows all")
        shop.publish("after")
        result = await asyncio.to_thread(shop.deploy, "after", "ordering")
    report(f"Consul empty, all registered after {again_s:.0f} s", crowd, began)
    assert result.returncode == 0, result.stdout + result.stderr
    assert crowd.failures == []
    await until(
        lambda: all(len(shop.registrations(name)) == 1 for name in SERVICES), FORGOTTEN_S, "only those that run"
    )
    kept = {name: {each["ID"] for each in shop.allocations(name)} for name in SERVICES if name != "ordering"}
    assert kept == {name: before[name] for name in kept}
    await shop.close()


async def test_services_scale_to_three_and_back_under_load(shop: LiveShop) -> None:
    await scale(shop, 1, *ROLLED)
    began = time.monotonic()
    async with crowd_at(shop) as crowd:
        await scale(shop, 3, *ROLLED)
        up_s = time.monotonic() - began
        await scale(shop, 1, *ROLLED)
    report(f"1 to 3 in {up_s:.0f} s, and back", crowd, began)
    assert crowd.failures == []
    await shop.close()


async def test_a_tunable_reaches_every_instance_without_a_restart(shop: LiveShop) -> None:
    await scale(shop, 2, "ordering")
    before = {pid for each in shop.allocations("ordering") for pid in shop.processes(each["ID"])}
    key = "/v1/kv/ticketflow/config/ordering/ORDERING_HOLD_TTL_S"
    async with aiohttp.ClientSession() as http:
        buyer = Shop(http, shop.url)
        await buyer.register()
        concert = await buyer.concert_on_sale(seats=500)

        async def has_reached_all(hold_s: int) -> bool:
            """Several orders in a row, which different instances take."""
            orders = [await buyer.place(concert, quantity=1) for _ in range(6)]
            return all(abs(held_s(order) - hold_s) < 1 for order in orders)

        async def is_told(problem: str) -> bool:
            return all(problem in shop.log(each["ID"]) for each in shop.allocations("ordering"))

        assert await has_reached_all(600)
        shop.cluster.consul(key, method="PUT", body=90)
        await eventually(partial(has_reached_all, 90), within_s=30)
        shop.cluster.consul(key, method="PUT", body="ninety")
        await eventually(partial(is_told, "ORDERING_HOLD_TTL_S"), within_s=30)
        assert await has_reached_all(90)
        shop.cluster.consul(key, method="DELETE")
        await eventually(partial(has_reached_all, 600), within_s=30)
    assert before == {pid for each in shop.allocations("ordering") for pid in shop.processes(each["ID"])}
    await scale(shop, 1, "ordering")


async def test_a_nightly_dump_is_put_back_as_the_runbook_says(shop: LiveShop) -> None:
    async with aiohttp.ClientSession() as http:
        early, late = Shop(http, shop.url), Shop(http, shop.url)
        kept = await early.register()
        shop.cluster.nomad("/v1/job/backup/periodic/force", method="PUT")
        await until(lambda: all(shop.dumps(name) for name in DATABASES), 60, "each database is dumped")
        lost = await late.register()

        running = [each["ID"] for each in shop.allocations("identity")]
        shop.cluster.nomad("/v1/job/identity", method="DELETE")
        await until(lambda: not any(map(shop.processes, running)), 120, "nobody writes to the database")
        restored = await asyncio.to_thread(
            restore, shop.dumps("identity")[-1], libpq(shop.cluster.urls()["identity_database"])
        )
        assert restored.returncode == 0, restored.stderr
        result = await asyncio.to_thread(shop.deploy, BUILT, "migrate", "identity")
        assert result.returncode == 0, result.stdout + result.stderr

        async def knows(account: dict[str, Any]) -> bool:
            login = {name: account[name] for name in ("email", "password")}
            query = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
            answer = await early.graphql(query, input=login)
            return bool((answer.get("data") or {}).get("login"))

        await eventually(partial(knows, kept), within_s=30)
        assert not await knows(lost)
    await shop.close()


async def scale(shop: LiveShop, count: int, *services: str) -> None:
    """Returns once exactly so many instances of each run, and Consul sends callers to them and to no others."""
    for service in services:
        await until(partial(is_scaling, shop, service, count), 240, f"{service} may be scaled")

    def is_scaled(service: str) -> bool:
        passing = shop.registrations(service, passing=True)
        return len(passing) == len(shop.registrations(service)) == len(shop.allocations(service)) == count

    await until(lambda: all(map(is_scaled, services)), 240, f"{count} of each of {services}")


def is_scaling(shop: LiveShop, service: str, count: int) -> bool:
    """Whether Nomad takes the wish. It does not while a deployment of the service runs."""
    (group,) = shop.cluster.nomad(f"/v1/job/{service}")["TaskGroups"]
    body = {"Count": count, "Target": {"Group": group["Name"]}}
    try:
        shop.cluster.nomad(f"/v1/job/{service}/scale", method="PUT", body=body)
    except HTTPError as refusal:
        with refusal:
            if "active deployment" not in refusal.read().decode():
                raise
        return False
    return True


def held_s(order: dict[str, Any]) -> float:
    """For how long the order's tickets were held when it was placed."""
    expires, created = (datetime.fromisoformat(order[name]) for name in ("expiresAt", "createdAt"))
    return (expires - created).total_seconds()


def is_moved(shop: LiveShop, node: str) -> bool:
    """Whether the node's tasks have ended, and two of each service take calls elsewhere."""
    there = shop.cluster.nomad(f"/v1/node/{node}/allocations")
    left = any(each["ClientStatus"] in ("pending", "running") for each in there)
    return not left and all(len(shop.registrations(name, passing=True)) == 2 for name in ROLLED)


def is_replaced(shop: LiveShop, service: str, allocation: str, pids: list[int]) -> bool:
    """Whether Consul has forgotten the instance, or another process stands in its place."""
    return shop.port(service, allocation) == 0 or not set(pids) & set(shop.processes(allocation))
