from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1.reflection_grpc import ServerReflectionStub
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest

from protos.catalog_grpc import CatalogBase, CatalogStub
from protos.catalog_pb2 import GetConcertRequest, GetConcertResponse
from services.apphost.ports import free_ports
from services.defaults.auth import SERVICE_TOKEN_TYPE, TokenIssuer, TokenVerifier
from services.defaults.deadline import remaining_s
from services.defaults.errors import Conflict
from services.defaults.grpc import MAX_MESSAGE_BYTES, GrpcServer, service_principal
from services.defaults.grpc_errors import from_grpc_error
from services.defaults.health import Health

SECRET = "s" * 32
BUGS = {"bug": RuntimeError, "unfinished": NotImplementedError}  # grpclib raises the latter, too


class Servicer(CatalogBase):
    """Answers `GetConcert` by what its id asks for; the rest is not called."""

    def __init__(self) -> None:
        self.started, self.release = asyncio.Event(), asyncio.Event()
        self.verifier = TokenVerifier(secret=SECRET, issuer="i", audience="a", typ=SERVICE_TOKEN_TYPE)

    async def GetConcert(self, stream: Any) -> None:  # noqa: N802 - the method's name in the contract
        request = await stream.recv_message()
        if request.id == "conflict":
            raise Conflict("Sold out.", code="SOLD_OUT", fields={"lines": "None left."})
        if request.id in BUGS:
            raise BUGS[request.id]("the password is hunter2")
        if request.id == "wait":
            self.started.set()
            await self.release.wait()
        response = GetConcertResponse()
        response.concert.title = f"{remaining_s(30.0):.1f}"
        if request.id == "token":
            response.concert.title = service_principal(stream, self.verifier).subject
        await stream.send_message(response)

    async def _unused(self, stream: Any) -> None:
        raise AssertionError("not called")

    ListConcerts = BatchGetConcerts = HoldTickets = ConfirmHold = ReleaseHold = _unused


@asynccontextmanager
async def serving(servicer: Servicer, health: Health | None = None) -> AsyncIterator[tuple[GrpcServer, Channel]]:
    (port,) = free_ports(1)
    server = GrpcServer([servicer], health or Health("catalog", "1", {}))
    await server.start("127.0.0.1", port)
    channel = Channel("127.0.0.1", port)
    try:
        yield server, channel
    finally:
        servicer.release.set()
        channel.close()
        await server.stop(1.0)


async def get(channel: Channel, ask: str, **options: Any) -> str:
    response = await CatalogStub(channel).GetConcert(GetConcertRequest(id=ask), timeout=5, **options)
    return str(response.concert.title)


async def test_an_error_of_the_tree_keeps_its_code_and_fields() -> None:
    async with serving(Servicer()) as (_, channel):
        with pytest.raises(GRPCError) as caught:
            await get(channel, "conflict")
    error = from_grpc_error(caught.value)
    assert (type(error), error.code, error.fields) == (Conflict, "SOLD_OUT", {"lines": "None left."})


@pytest.mark.parametrize("bug", BUGS)
async def test_an_unexpected_error_tells_nothing(bug: str) -> None:
    async with serving(Servicer()) as (_, channel):
        with pytest.raises(GRPCError) as caught:
            await get(channel, bug)
    assert caught.value.status is Status.INTERNAL
    assert "hunter2" not in str(caught.value)


async def test_a_message_too_large_is_refused() -> None:
    async with serving(Servicer()) as (_, channel):
        with pytest.raises(GRPCError) as caught:
            await get(channel, "x" * (MAX_MESSAGE_BYTES + 1))
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert await get(channel, "x")


async def test_a_compressed_message_is_unimplemented() -> None:
    """As https://github.com/grpc/grpc/blob/master/doc/compression.md wants it."""
    async with serving(Servicer()) as (_, channel):
        with pytest.raises(GRPCError) as caught:
            await send_compressed(channel)
    assert caught.value.status is Status.UNIMPLEMENTED


async def send_compressed(channel: Channel) -> None:
    async with CatalogStub(channel).GetConcert.open(timeout=5) as stream:
        await stream.send_request()
        await stream._stream.send_data(b"\x01\x00\x00\x00\x00", end_stream=True)  # its first byte says so
        await stream.recv_initial_metadata()


async def test_the_callers_deadline_is_adopted() -> None:
    async with serving(Servicer()) as (_, channel):
        assert float(await get(channel, "x")) <= 5.0


async def test_a_service_token_says_who_calls() -> None:
    issuer = TokenIssuer(secret=SECRET, issuer="i", audience="a", lifetime_s=60, typ=SERVICE_TOKEN_TYPE)
    metadata = {"authorization": f"Bearer {issuer.issue('ordering')}"}
    async with serving(Servicer()) as (_, channel):
        assert await get(channel, "token", metadata=metadata) == "ordering"
        with pytest.raises(GRPCError) as caught:
            await get(channel, "token")
    assert caught.value.status is Status.UNAUTHENTICATED


async def test_health_follows_the_checks() -> None:
    health = Health("catalog", "1", {})
    async with serving(Servicer(), health) as (_, channel):
        stub = HealthStub(channel)
        answer = await stub.Check(HealthCheckRequest(service="ticketflow.catalog.v1.Catalog"), timeout=5)
        assert answer.status == HealthCheckResponse.SERVING
    health.draining = True
    async with serving(Servicer(), health) as (_, channel):
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=5)
        assert answer.status == HealthCheckResponse.NOT_SERVING


async def test_reflection_lists_the_services() -> None:
    async with serving(Servicer()) as (_, channel):
        stub = ServerReflectionStub(channel)
        (answer,) = await stub.ServerReflectionInfo([ServerReflectionRequest(list_services="")], timeout=5)
    names = {service.name for service in answer.list_services_response.service}
    assert {"ticketflow.catalog.v1.Catalog", "grpc.health.v1.Health"} <= names


async def test_stopping_lets_calls_in_flight_finish_and_refuses_new_ones() -> None:
    servicer = Servicer()
    async with serving(servicer) as (server, channel):
        call = asyncio.create_task(get(channel, "wait"))
        await servicer.started.wait()
        stop = asyncio.create_task(server.stop(5.0))
        await asyncio.sleep(0)
        with pytest.raises(GRPCError) as caught:
            await get(channel, "x")
        assert caught.value.status is Status.UNAVAILABLE
        servicer.release.set()
        assert await call
        await stop


async def test_who_watches_health_or_asks_for_reflection_holds_no_stop(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Servicer()) as (server, channel):
        watch, asking = HealthStub(channel).Watch.open(), ServerReflectionStub(channel).ServerReflectionInfo.open()
        async with watch as health, asking as reflection:
            await health.send_message(HealthCheckRequest())
            await reflection.send_message(ServerReflectionRequest(list_services=""))
            assert await health.recv_message()
            assert await reflection.recv_message()
            await server.stop(2.0)
            await health.cancel()
            await reflection.cancel()
    assert "calls cut off" not in caplog.messages
