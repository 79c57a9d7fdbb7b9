"""gRPC calls between services against real grpclib servers that answer, fail, hang, break off and return."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from opentelemetry.sdk.trace import TracerProvider

from protos.catalog_grpc import CatalogStub
from protos.catalog_pb2 import GetConcertRequest, GetConcertResponse
from services.defaults.attempts import Policy
from services.defaults.deadline import deadline_scope
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.errors import AppError, Conflict, NotFound, RateLimited, Unavailable
from services.defaults.grpc_errors import to_grpc_error
from services.defaults.resilience import GrpcClient, open_grpc_client
from tests.defaults.loopback import completed, eventually, unused_port, wire_to

GET_CONCERT = "/ticketflow.catalog.v1.Catalog/GetConcert"
QUICK = Policy(attempt_s=0.3, retries=3, backoff_s=0.01, backoff_max_s=1.0, break_after=1000, break_s=0.3)

Reply = Callable[[], Awaitable[None]] | Exception | None
Call = Stream[GetConcertRequest, GetConcertResponse]


class Catalog:
    """Answers one call after another as told (None: well), the last for ever, and keeps what it was told."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.calls: list[dict[str, Any]] = []
        self.time_left_s: list[float] = []

    def __mapping__(self) -> dict[str, Handler]:
        return {GET_CONCERT: Handler(self.get_concert, Cardinality.UNARY_UNARY, GetConcertRequest, GetConcertResponse)}

    async def get_concert(self, stream: Call) -> None:
        await stream.recv_message()
        self.calls.append(dict(stream.metadata or {}))
        assert stream.deadline is not None
        self.time_left_s.append(stream.deadline.time_remaining())
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, Exception):
            raise reply
        if reply is not None:
            await reply()
        await stream.send_message(GetConcertResponse())


async def hang() -> None:
    await asyncio.sleep(60)


@asynccontextmanager
async def serving(catalog: Catalog) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint("127.0.0.1", unused_port())
    server = Server([catalog])
    await server.start(endpoint.host, endpoint.port)
    try:
        yield endpoint
    finally:
        server.close()
        await server.wait_closed()


def client_of(*endpoints: Endpoint, policy: Policy = QUICK) -> Any:
    return open_grpc_client("catalog", StaticDiscovery({"catalog": endpoints}), CatalogStub, policy)


async def get(client: GrpcClient[CatalogStub], **options: Any) -> GetConcertResponse:
    reply = await client.call("GetConcert", GetConcertRequest(), **options)
    assert isinstance(reply, GetConcertResponse)
    return reply


async def test_a_call_carries_token_trace_and_deadline() -> None:
    catalog = Catalog(None)
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        with TracerProvider().get_tracer("test").start_as_current_span("click") as span:
            await get(client, token="jwt")
        with deadline_scope(0.1):
            await get(client)
    first, second = catalog.calls
    assert first["authorization"] == "Bearer jwt"
    assert first["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    assert "authorization" not in second
    assert 0.1 < catalog.time_left_s[0] <= 0.3
    assert catalog.time_left_s[1] <= 0.1


async def test_errors_come_back_as_they_were_raised() -> None:
    sold_out = to_grpc_error(Conflict("Gone.", code="SOLD_OUT", fields={"a": "b"}))
    catalog = Catalog(sold_out, to_grpc_error(NotFound("None such.")), GRPCError(Status.UNIMPLEMENTED))
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        with pytest.raises(Conflict, match="Gone") as caught:
            await get(client)
        with pytest.raises(NotFound):
            await get(client)
        with pytest.raises(AppError):
            await get(client)
    assert (caught.value.code, caught.value.fields) == ("SOLD_OUT", {"a": "b"})
    assert len(catalog.calls) == 3


async def test_a_passing_failure_is_overcome() -> None:
    away = to_grpc_error(Unavailable("Restarting."))
    catalog = Catalog(away, GRPCError(Status.UNAVAILABLE), None)
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        await get(client)
    assert len(catalog.calls) == 3


async def test_too_many_requests_are_repeated_only_when_told_when() -> None:
    told = to_grpc_error(RateLimited("Slowly.", retry_after_s=0.05))
    catalog = Catalog(told, to_grpc_error(RateLimited("Slowly.")), None)
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        with pytest.raises(RateLimited):
            await get(client)
    assert len(catalog.calls) == 2


async def test_what_is_not_idempotent_is_sent_once() -> None:
    catalog = Catalog(to_grpc_error(Unavailable("Restarting.")), None)
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        with pytest.raises(Unavailable, match="Restarting"):
            await get(client, idempotent=False)
    assert len(catalog.calls) == 1


async def test_a_refused_call_goes_to_another_instance_whatever_it_is() -> None:
    catalog, dead = Catalog(None), Endpoint("127.0.0.1", unused_port())
    async with serving(catalog) as alive, client_of(dead, alive) as client:
        for _ in range(6):
            await get(client, idempotent=False)
    assert len(catalog.calls) == 6


async def test_nobody_there_is_unavailable() -> None:
    async with client_of(Endpoint("127.0.0.1", unused_port())) as client:
        with pytest.raises(Unavailable, match="catalog") as caught:
            await get(client)
    assert caught.value.retry_after_s == 1.0


async def test_a_hanging_instance_costs_one_attempt_and_is_left_out() -> None:
    frozen, alive = Catalog(hang), Catalog(None)
    async with serving(frozen) as a, serving(alive) as b, client_of(a, b) as client:
        began = time.monotonic()
        for _ in range(8):
            await get(client)
        assert time.monotonic() - began < 6 * QUICK.attempt_s
    assert len(frozen.calls) == 1
    assert len(alive.calls) == 8


async def test_the_budget_bounds_all_attempts_together() -> None:
    catalog = Catalog(hang)
    async with serving(catalog) as endpoint, client_of(endpoint) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await get(client, timeout_s=0.5)
    assert 0.45 < time.monotonic() - began < 0.9
    assert len(catalog.calls) == 2


async def test_a_call_broken_off_leaves_no_cancellation_behind() -> None:
    """grpclib cancels the calling task when the connection is lost, and never takes that back."""
    catalog, task = Catalog(hang), asyncio.current_task()
    assert task is not None
    async with serving(catalog) as endpoint, wire_to(endpoint) as wire, client_of(wire.endpoint) as client:

        async def cut_once_called() -> None:
            await eventually(lambda: completed(lambda: bool(catalog.calls)))
            wire.cut()

        cutting = asyncio.create_task(cut_once_called())
        with pytest.raises(Unavailable):
            await get(client, idempotent=False)
        assert task.cancelling() == 0
        await cutting
    assert len(catalog.calls) == 1


async def test_a_lost_connection_is_made_again() -> None:
    catalog = Catalog(None)
    async with serving(catalog) as endpoint, wire_to(endpoint) as wire, client_of(wire.endpoint) as client:
        for _ in range(3):
            await get(client)
            wire.cut()
    assert len(catalog.calls) >= 3  # a call that broke off may have arrived before it did


async def test_the_breaker_opens_and_closes_again() -> None:
    policy = replace(QUICK, retries=0, break_after=2)
    catalog = Catalog(GRPCError(Status.UNKNOWN), GRPCError(Status.UNKNOWN), None)
    async with serving(catalog) as endpoint, client_of(endpoint, policy=policy) as client:
        for _ in range(6):
            with pytest.raises(AppError):
                await get(client)
        assert len(catalog.calls) == 2
        await asyncio.sleep(policy.break_s + 0.05)
        await get(client)


async def test_one_connection_serves_all_calls_and_is_closed_at_the_end() -> None:
    catalog = Catalog(None)
    async with serving(catalog) as endpoint:
        async with client_of(endpoint) as client:
            await asyncio.gather(*(get(client) for _ in range(20)))
            assert len(connections_to(endpoint)) == 1
        await asyncio.sleep(0.05)
        assert not connections_to(endpoint)


def connections_to(endpoint: Endpoint) -> list[str]:
    """Established connections from this machine to the endpoint, as the kernel lists them."""
    remote = f"0100007F:{endpoint.port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return [row[1] for row in rows[1:] if row[2] == remote and row[3] == "01"]
