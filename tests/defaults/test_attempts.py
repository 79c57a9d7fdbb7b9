"""Calls over several attempts, to servers that refuse, reset, hang, are sick and recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from services.defaults.attempts import AttemptFailed, Caller, Policy
from services.defaults.deadline import deadline_scope
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.errors import AppError, Invalid, RateLimited, Unavailable
from services.defaults.resilience import open_http_client
from tests.defaults.loopback import serving, unused_port
from tests.defaults.scripted import (
    PATIENT,
    QUICK,
    CountingDiscovery,
    Script,
    answer,
    client_of,
    hang,
    problem,
    raw_server,
    scripted,
)


class TestRetries:
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_a_passing_failure_is_overcome(self, status: int) -> None:
        async with scripted(answer(status), answer(status), answer(200, "fine")) as (script, shop):
            assert (await shop.request("GET", "/")).body == "fine"
        assert script.count == 3

    async def test_after_three_retries_the_last_error_is_told(self) -> None:
        async with scripted(*[problem(503, f"NO_{n}") for n in range(9)]) as (script, shop):
            with pytest.raises(Unavailable) as caught:
                await shop.request("GET", "/")
        assert script.count == 4
        assert caught.value.code == "NO_3"

    async def test_an_unsafe_method_is_sent_once(self) -> None:
        async with scripted(answer(503, Retry_After="0"), answer(201)) as (script, shop):
            with pytest.raises(Unavailable):
                await shop.request("POST", "/", json={"n": 1})
        assert script.count == 1

    async def test_an_unsafe_method_with_a_key_is_sent_again_with_the_same(self) -> None:
        async with scripted(answer(503), answer(201)) as (script, shop):
            await shop.request("POST", "/", json={"n": 1}, idempotency_key="key-1")
        assert [request.headers["Idempotency-Key"] for request in script.requests] == ["key-1"] * 2
        assert script.bodies == [b'{"n": 1}'] * 2

    async def test_retry_after_is_waited_for(self) -> None:
        async with scripted(answer(503, Retry_After="1"), answer(200)) as (script, shop):
            began = time.monotonic()
            await shop.request("GET", "/")
        assert 1.0 <= time.monotonic() - began < 2.0
        assert script.count == 2

    @pytest.mark.parametrize(("retry_after", "budget_s"), [("2", 3.0), ("1", 0.8)])
    async def test_a_retry_after_beyond_patience_or_budget_ends_the_call(
        self, retry_after: str, budget_s: float
    ) -> None:
        async with scripted(answer(503, Retry_After=retry_after)) as (script, shop):
            with pytest.raises(Unavailable) as caught:
                await shop.request("GET", "/", timeout_s=budget_s)
        assert script.count == 1
        assert caught.value.retry_after_s == float(retry_after)

    async def test_too_many_requests_are_repeated_only_when_told_when(self) -> None:
        async with scripted(answer(429, Retry_After="0"), answer(429), answer(200)) as (script, shop):
            with pytest.raises(RateLimited):
                await shop.request("GET", "/")
        assert script.count == 2

    async def test_full_jitter_spreads_the_waits(self) -> None:
        waits = await _waits_before_retries(Policy(retries=1, backoff_s=0.05))
        assert max(waits) < 0.5
        assert max(waits) - min(waits) > 0.01


class TestLostConnections:
    async def test_a_refused_request_goes_to_another_instance_whatever_its_method(self) -> None:
        dead = Endpoint("127.0.0.1", unused_port())
        script = Script(answer(201))
        async with serving(script.respond) as alive, client_of(dead, alive) as shop:
            for _ in range(6):
                await shop.request("POST", "/")
        assert script.count == 6

    async def test_an_instance_that_refused_is_left_out(self) -> None:
        dead, discovery = Endpoint("127.0.0.1", unused_port()), CountingDiscovery()
        async with serving(Script(answer(200)).respond) as alive:
            discovery.add(dead, alive)
            async with open_http_client("shop", discovery, PATIENT) as shop:
                for _ in range(10):
                    await shop.request("GET", "/")
        assert discovery.picked.count(dead) == 1

    async def test_nobody_there_is_unavailable(self) -> None:
        async with client_of(Endpoint("127.0.0.1", unused_port())) as shop:
            with pytest.raises(Unavailable, match="shop") as caught:
                await shop.request("GET", "/")
        assert caught.value.retry_after_s == 1.0

    async def test_a_reset_is_retried_only_where_that_is_safe(self) -> None:
        async with raw_server(resets=True) as server, client_of(server.endpoint) as shop:
            with pytest.raises(Unavailable):
                await shop.request("POST", "/")
            assert server.count == 1
            with pytest.raises(Unavailable):
                await shop.request("POST", "/", idempotency_key="k")
            assert server.count == 1 + 4

    async def test_a_frozen_instance_costs_one_attempt_and_is_left_out(self) -> None:
        script = Script(answer(200))
        async with (
            raw_server(resets=False) as frozen,
            serving(script.respond) as alive,
            client_of(frozen.endpoint, alive) as shop,
        ):
            began = time.monotonic()
            for _ in range(10):
                await shop.request("GET", "/")
            assert time.monotonic() - began < 3 * QUICK.attempt_s
        assert frozen.count == 1
        assert script.count == 10

    async def test_the_budget_bounds_all_attempts_together(self) -> None:
        async with raw_server(resets=False) as frozen, client_of(frozen.endpoint) as shop:
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await shop.request("GET", "/", timeout_s=0.5)
        assert 0.45 < time.monotonic() - began < 0.8
        assert frozen.count == 2

    async def test_what_may_be_slow_is_tried_again_and_its_instance_not_left_out(self) -> None:
        discovery = CountingDiscovery()
        async with raw_server(resets=False) as slow:
            discovery.add(slow.endpoint)
            async with open_http_client("shop", discovery, QUICK) as shop:
                with pytest.raises(Unavailable):
                    await shop.request("POST", "/", idempotency_key="k", timeout_s=0.5, may_be_slow=True)
        assert slow.count == 2
        assert discovery.left_out == []

    async def test_the_callers_deadline_bounds_the_call(self) -> None:
        async with raw_server(resets=False) as frozen, client_of(frozen.endpoint) as shop:
            began = time.monotonic()
            with deadline_scope(0.1), pytest.raises(Unavailable):
                await shop.request("GET", "/")
        assert time.monotonic() - began < QUICK.attempt_s
        assert frozen.count == 1


class TestBreaker:
    async def test_opens_after_failures_in_a_row_spares_the_instance_and_closes_again(self) -> None:
        policy = replace(QUICK, retries=0, break_after=3)
        async with scripted(*[answer(500)] * 3, answer(200), policy=policy) as (script, shop):
            for _ in range(3):
                with pytest.raises(AppError):
                    await shop.request("GET", "/")
            for _ in range(10):
                with pytest.raises(Unavailable):
                    await shop.request("GET", "/")
            assert script.count == 3
            await asyncio.sleep(policy.break_s + 0.05)
            for _ in range(5):
                await shop.request("GET", "/")
            assert script.count == 8

    async def test_a_failed_probe_opens_it_again(self) -> None:
        policy = replace(QUICK, retries=0, break_after=2)
        async with scripted(answer(500), policy=policy) as (script, shop):
            for _ in range(2):
                with pytest.raises(AppError):
                    await shop.request("GET", "/")
            await asyncio.sleep(policy.break_s + 0.05)
            for _ in range(5):
                with pytest.raises(AppError):
                    await shop.request("GET", "/")
            assert script.count == 3

    async def test_an_open_breaker_fails_at_once_and_says_when_to_return(self) -> None:
        policy, discovery = replace(QUICK, break_after=1), CountingDiscovery()
        async with raw_server(resets=False) as frozen:
            discovery.add(frozen.endpoint)
            async with open_http_client("shop", discovery, policy) as shop:
                for _ in range(2):
                    with pytest.raises(Unavailable) as caught:
                        await shop.request("GET", "/", timeout_s=0.2)
        assert caught.value.retry_after_s == policy.break_s
        assert frozen.count == 1
        assert len(discovery.picked) == 2

    async def test_a_sick_instance_does_not_cut_off_a_healthy_one(self) -> None:
        policy, discovery = replace(QUICK, break_after=1, break_s=30), CountingDiscovery()
        sick, well = Script(answer(500)), Script(answer(200))
        async with serving(sick.respond) as a, serving(well.respond) as b:
            discovery.add(a, b)
            async with open_http_client("shop", discovery, policy) as shop:
                for _ in range(10):
                    await shop.request("GET", "/")
        assert sick.count == 1
        assert well.count == 10
        assert discovery.picked.count(a) <= 2  # it failed, its breaker was found open, and it was left out

    async def test_refusals_do_not_open_it(self) -> None:
        policy = replace(QUICK, break_after=2)
        async with scripted(problem(422, "INVALID"), policy=policy) as (script, shop):
            for _ in range(6):
                with pytest.raises(Invalid):
                    await shop.request("GET", "/")
        assert script.count == 6

    async def test_callers_in_a_hurry_do_not_open_it(self) -> None:
        """Anyone may send a deadline header, or hang up: neither may cut the service off for the others."""
        policy = replace(QUICK, break_after=2)
        async with serving(hanging_at_slow(answer(200))) as one, client_of(one, policy=policy) as shop:
            for _ in range(4):
                with deadline_scope(0.03), pytest.raises(Unavailable):
                    await shop.request("GET", "/slow")
            for _ in range(4):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.03):
                        await shop.request("GET", "/slow")
            await shop.request("GET", "/")

    async def test_what_may_be_slow_opens_it_only_where_anything_else_is_slow_too(self) -> None:
        policy, discovery = replace(QUICK, retries=0, break_after=2), CountingDiscovery()
        script = Script(*[hang] * 4, answer(200), hang)
        async with serving(script.respond) as one, open_http_client("shop", discovery, policy) as shop:
            discovery.add(one)
            for _ in range(4):
                with pytest.raises(Unavailable):
                    await shop.request("POST", "/slow", may_be_slow=True)
            await shop.request("GET", "/")
            assert script.count == 5
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await shop.request("GET", "/")
            with pytest.raises(Unavailable):
                await shop.request("POST", "/slow", may_be_slow=True)
        assert script.count == 7

    async def test_what_may_be_slow_may_be_said_to_be(self) -> None:
        """As ordering does of a card that the payment provider has not answered for."""
        policy = replace(QUICK, retries=0, break_after=2)
        slow, broken = problem(503, "UNAVAILABLE", Retry_After="2"), problem(503, "UNAVAILABLE")
        async with scripted(slow, slow, slow, broken, broken, policy=policy) as (script, shop):
            for _ in range(6):
                with pytest.raises(Unavailable):
                    await shop.request("POST", "/", may_be_slow=True)
        assert script.count == 5

    async def test_what_may_be_slow_does_not_close_it_either(self) -> None:
        policy = replace(QUICK, retries=0, break_after=2)
        async with scripted(answer(500), hang, answer(500), policy=policy) as (script, shop):
            for may_be_slow in (False, True, False, False):
                with pytest.raises(AppError):
                    await shop.request("POST", "/", may_be_slow=may_be_slow)
        assert script.count == 3

    @pytest.mark.parametrize("resets", [True, False])
    async def test_what_may_be_slow_still_opens_it_where_it_finds_nobody(self, resets: bool) -> None:
        policy = replace(QUICK, retries=0, break_after=2)
        async with raw_server(resets=True) as server:
            endpoint = server.endpoint if resets else Endpoint("127.0.0.1", unused_port())
            async with client_of(endpoint, policy=policy) as shop:
                for _ in range(3):
                    with pytest.raises(Unavailable) as caught:
                        await shop.request("POST", "/", may_be_slow=True)
        assert caught.value.retry_after_s == policy.break_s

    async def test_a_caller_who_hangs_up_does_not_close_it_either(self) -> None:
        policy = replace(QUICK, retries=0, break_after=2, break_s=60)
        async with serving(hanging_at_slow(answer(500))) as one, client_of(one, policy=policy) as shop:
            with pytest.raises(AppError):
                await shop.request("GET", "/")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await shop.request("GET", "/slow")
            for _ in range(2):
                with pytest.raises(AppError) as caught:
                    await shop.request("GET", "/")
        assert isinstance(caught.value, Unavailable)  # it is open


def hanging_at_slow(else_: web.Response) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A server that never answers at /slow, and as told anywhere else."""

    async def respond(request: web.Request) -> web.Response:
        if request.path == "/slow":
            return await hang()
        return web.Response(status=else_.status, body=else_.body, headers=else_.headers)

    return respond


class SlowDiscovery(StaticDiscovery):
    """Waits for its first answer, as Consul's may."""

    async def pick(self, service: str) -> Endpoint:
        await asyncio.sleep(60)
        return await super().pick(service)


async def test_waiting_for_an_address_counts_against_the_budget() -> None:
    caller = Caller("shop", SlowDiscovery({}), QUICK)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await caller.call(_succeed, repeatable=True, timeout_s=0.1)
    assert time.monotonic() - began < 0.5


async def test_a_bug_in_ours_is_neither_retried_nor_held_against_the_instance() -> None:
    caller = Caller("shop", StaticDiscovery({"shop": [Endpoint("10.0.0.1", 1)]}), replace(QUICK, break_after=1))
    attempts = 0

    async def fail(_endpoint: Endpoint, _attempt_s: float) -> str:
        nonlocal attempts
        attempts += 1
        raise KeyError("ours")

    for _ in range(3):
        with pytest.raises(KeyError):
            await caller.call(fail, repeatable=True)
    assert attempts == 3
    assert await caller.call(_succeed, repeatable=True) == "fine"


async def _succeed(_endpoint: Endpoint, _attempt_s: float) -> str:
    return "fine"


async def _waits_before_retries(policy: Policy) -> list[float]:
    """How long 20 calls, each of which fails once, wait before their retry."""
    caller = Caller("shop", StaticDiscovery({"shop": [Endpoint("10.0.0.1", 1)]}), policy)

    async def wait_of_one() -> float:
        times: list[float] = []

        async def fail_once(_endpoint: Endpoint, _attempt_s: float) -> float:
            times.append(time.monotonic())
            if len(times) == 1:
                raise AttemptFailed(Invalid("try again"), transient=True)
            return times[1] - times[0]

        return await caller.call(fail_once, repeatable=True)

    return await asyncio.gather(*(wait_of_one() for _ in range(20)))
