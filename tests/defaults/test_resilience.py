"""Calls between services against servers that answer, refuse, reset, hang and recover."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from hypercorn.config import Config
from opentelemetry.sdk.trace import TracerProvider

from services.defaults.attempts import AttemptFailed, Caller, Policy
from services.defaults.deadline import DEADLINE_HEADER, deadline_scope, parse_deadline
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.errors import AppError, Conflict, Invalid, RateLimited, Unavailable
from services.defaults.resilience import (
    IDLE_CONNECTION_S,
    HttpClient,
    open_http_client,
    parse_retry_after,
)
from tests.defaults.loopback import serving, unused_port

QUICK = Policy(
    total_s=3.0,
    attempt_s=0.3,
    connect_s=0.3,
    retries=3,
    backoff_s=0.01,
    backoff_max_s=1.5,
    break_after=5,
    break_s=0.3,
)
PATIENT = replace(QUICK, break_after=1000)


class Script:
    """Answers one request after another as told, the last for ever, and keeps what it was asked."""

    def __init__(self, *answers: web.Response | Callable[[], Awaitable[web.Response]]) -> None:
        self._answers = list(answers)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def respond(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer()

    @property
    def count(self) -> int:
        return len(self.requests)


def answer(status: int, body: Any = None, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = b"" if body is None else json.dumps(body).encode()
    return web.Response(status=status, body=content, headers={"Content-Type": "application/json", **named})


def problem(status: int, code: str, **headers: str) -> web.Response:
    return answer(status, {"status": status, "detail": f"Because of {code}.", "code": code}, **headers)


async def hang() -> web.Response:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits that long")


class RawServer:
    """A TCP server that reads a request's first byte, and then resets the connection or says nothing."""

    endpoint: Endpoint

    def __init__(self, *, resets: bool) -> None:
        self._resets = resets
        self.count = 0
        self.closing = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            self.count += 1
            if self._resets:
                writer.transport.abort()
            else:
                await self.closing.wait()
        writer.close()


@asynccontextmanager
async def raw_server(*, resets: bool) -> AsyncIterator[RawServer]:
    server = RawServer(resets=resets)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.endpoint = Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1])
    async with listener:
        yield server
        server.closing.set()


@asynccontextmanager
async def client_of(
    *endpoints: Endpoint, policy: Policy = PATIENT, max_answer_bytes: int = 10_000
) -> AsyncIterator[HttpClient]:
    discovery = StaticDiscovery({"shop": endpoints})
    async with open_http_client("shop", discovery, policy, max_answer_bytes=max_answer_bytes) as client:
        yield client


@asynccontextmanager
async def scripted(
    *answers: web.Response | Callable[[], Awaitable[web.Response]], policy: Policy = PATIENT
) -> AsyncIterator[tuple[Script, HttpClient]]:
    script = Script(*answers)
    async with serving(script.respond) as endpoint, client_of(endpoint, policy=policy) as client:
        yield script, client


class TestRequest:
    async def test_carries_body_credentials_key_and_parameters(self) -> None:
        async with scripted(answer(201, {"id": 1}, X_Kind="new")) as (script, shop):
            got = await shop.request(
                "POST",
                "/orders/ä b?c",
                json={"n": 1},
                params={"first": "5", "after": "a&b"},
                token="jwt",
                idempotency_key="key-1",
                headers={"X-Extra": "1"},
            )
        assert (got.status, got.body, got.headers["x-kind"]) == (201, {"id": 1}, "new")
        (request,) = script.requests
        assert (request.method, request.path) == ("POST", "/orders/ä b?c")
        assert dict(request.query) == {"first": "5", "after": "a&b"}
        assert json.loads(script.bodies[0]) == {"n": 1}
        assert request.headers["Authorization"] == "Bearer jwt"
        assert request.headers["Idempotency-Key"] == "key-1"
        assert request.headers["X-Extra"] == "1"

    async def test_carries_trace_and_deadline(self) -> None:
        async with scripted(answer(200)) as (script, shop):
            with TracerProvider().get_tracer("test").start_as_current_span("click") as span, deadline_scope(0.2):
                await shop.request("GET", "/")
            await shop.request("GET", "/")
        inside, outside = script.requests
        assert inside.headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
        assert 0 < (parse_deadline(inside.headers[DEADLINE_HEADER]) or 0) <= 0.2
        assert outside.headers[DEADLINE_HEADER] == "300"
        assert "Authorization" not in outside.headers
        assert "traceparent" not in outside.headers

    @pytest.mark.parametrize(
        ("content", "content_type", "body"),
        [
            (b"", "application/json", None),
            (b"[1]", "application/json", [1]),
            (b'{"a":1}', "application/vnd.x+json", {"a": 1}),
            (b"hello \xff", "text/plain", "hello �"),
        ],
    )
    async def test_reads_what_the_answer_holds(self, content: bytes, content_type: str, body: Any) -> None:
        given = web.Response(body=content, headers={"Content-Type": content_type})
        async with scripted(given) as (_, shop):
            assert (await shop.request("GET", "/")).body == body

    async def test_keeps_no_cookies_and_follows_no_redirect(self) -> None:
        async with scripted(answer(200, Set_Cookie="a=b"), answer(302, Location="/elsewhere")) as (script, shop):
            await shop.request("GET", "/")
            with pytest.raises(Unavailable):
                await shop.request("GET", "/", token="jwt")
        assert [request.path for request in script.requests] == ["/", "/"]
        assert "Cookie" not in script.requests[1].headers

    async def test_an_answer_too_large_or_unreadable_is_unavailable(self) -> None:
        unreadable = web.Response(body=b"{", headers={"Content-Type": "application/json"})
        async with scripted(answer(200, "x" * 10_001), unreadable) as (script, shop):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await shop.request("GET", "/")
        assert script.count == 2

    def test_idle_connections_go_before_the_server_closes_them(self) -> None:
        assert Config().keep_alive_timeout > IDLE_CONNECTION_S


class TestErrors:
    async def test_problem_documents_become_errors_of_the_tree(self) -> None:
        fields = answer(422, {"detail": "No.", "code": "INVALID", "fields": {"email": "Wrong."}})
        async with scripted(fields, problem(409, "SOLD_OUT"), answer(402, {"x": 1})) as (_, shop):
            with pytest.raises(Invalid) as invalid:
                await shop.request("POST", "/")
            with pytest.raises(Conflict, match="Because of SOLD_OUT") as conflict:
                await shop.request("POST", "/")
            with pytest.raises(Conflict) as plain:
                await shop.request("POST", "/")
        assert invalid.value.fields == {"email": "Wrong."}
        assert conflict.value.code == "SOLD_OUT"
        assert plain.value.status == 402

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
    async def test_a_refusal_is_final(self, status: int) -> None:
        async with scripted(problem(status, "NO", Retry_After="0")) as (script, shop):
            with pytest.raises(AppError) as caught:
                await shop.request("GET", "/", idempotency_key="k")
        assert script.count == 1
        assert caught.value.status == status


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
        policy = replace(QUICK, break_after=1)
        async with raw_server(resets=False) as frozen, client_of(frozen.endpoint, policy=policy) as shop:
            with pytest.raises(Unavailable):
                await shop.request("GET", "/")
            began = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await shop.request("GET", "/")
        assert time.monotonic() - began < policy.attempt_s
        assert caught.value.retry_after_s == policy.break_s
        assert frozen.count == 1

    async def test_a_sick_instance_does_not_cut_off_a_healthy_one(self) -> None:
        policy = replace(QUICK, break_after=1, break_s=30)
        sick, well = Script(answer(500)), Script(answer(200))
        async with serving(sick.respond) as a, serving(well.respond) as b, client_of(a, b, policy=policy) as shop:
            for _ in range(10):
                await shop.request("GET", "/")
        assert sick.count == 1
        assert well.count == 10

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
        async with scripted(*[hang] * 8, answer(200), policy=policy) as (script, shop):
            for _ in range(4):
                with deadline_scope(0.03), pytest.raises(Unavailable):
                    await shop.request("GET", "/")
            for _ in range(4):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.03):
                        await shop.request("GET", "/")
            await shop.request("GET", "/")
        assert script.count == 9

    async def test_a_caller_who_hangs_up_does_not_close_it_either(self) -> None:
        policy = replace(QUICK, retries=0, break_after=2)
        async with scripted(answer(500), hang, answer(500), policy=policy) as (script, shop):
            with pytest.raises(AppError):
                await shop.request("GET", "/")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await shop.request("GET", "/")
            for _ in range(3):
                with pytest.raises(AppError):
                    await shop.request("GET", "/")
        assert script.count == 3


class CountingDiscovery:
    """Static discovery that keeps what it picked."""

    def __init__(self) -> None:
        self.picked: list[Endpoint] = []
        self._inner = StaticDiscovery({})

    def add(self, *endpoints: Endpoint) -> None:
        self._inner = StaticDiscovery({"shop": endpoints})

    async def endpoints(self, service: str) -> Any:
        return await self._inner.endpoints(service)

    async def pick(self, service: str) -> Endpoint:
        self.picked.append(await self._inner.pick(service))
        return self.picked[-1]

    def refused(self, service: str, endpoint: Endpoint) -> None:
        self._inner.refused(service, endpoint)


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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("0", 0.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(2026, 11, 24, 12, tzinfo=UTC)) == seconds


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
