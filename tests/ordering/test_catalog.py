"""Our side of the catalog, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from grpclib.health.v1.health_grpc import HealthStub

from protos.catalog_grpc import CatalogStub
from services.apphost.ports import free_ports
from services.defaults.attempts import Policy
from services.defaults.auth import SERVICE_TOKEN_TYPE, TokenVerifier
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from services.defaults.resilience import open_grpc_client
from services.ordering.catalog import GrpcCatalog, service_token
from services.ordering.domain import Line, Wanted
from tests.ordering.catalog_server import STARTS_AT, CatalogServer, served
from tests.ordering.support import CONCERT_ID, SEATED, STANDING

SECRET, ISSUER = "a signing key of the tests, 32 bytes or more", "https://ticketflow.test"
WANTED = (Wanted(STANDING, 1), Wanted(SEATED, 2))


@pytest.fixture
def server() -> CatalogServer:
    return CatalogServer()


@pytest.fixture
async def catalog(server: CatalogServer) -> AsyncIterator[GrpcCatalog]:
    (port,) = free_ports(1)
    async with served(server, port), calling(port) as catalog:
        yield catalog


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[GrpcCatalog]:
    discovery = StaticDiscovery({"catalog": [Endpoint("127.0.0.1", port)]})
    async with (
        open_grpc_client("catalog", discovery, CatalogStub, Policy(retries=0)) as client,
        open_grpc_client("catalog", discovery, HealthStub, Policy(retries=0)) as probe,
    ):
        yield GrpcCatalog(client, probe, service_token(SECRET, ISSUER))


async def test_a_ping_is_answered_by_a_catalog_and_by_nobody_else(server: CatalogServer) -> None:
    (port,) = free_ports(1)
    async with calling(port) as catalog:
        with pytest.raises(Unavailable):
            await catalog.ping()
        async with served(server, port):
            await catalog.ping()
    assert server.tokens == []  # it asks for health, which needs no token


async def test_hold_confirm_release(catalog: GrpcCatalog) -> None:
    order_id = uuid4()
    hold = await catalog.hold(order_id, CONCERT_ID, WANTED, 600)
    assert hold.lines == (Line(STANDING, "Floor", 1, 4_250), Line(SEATED, "Balcony", 2, 7_500))
    assert [(ticket.tier, ticket.section, ticket.code) for ticket in hold.tickets] == [
        ("Floor", None, None),
        ("Balcony", "A", None),
        ("Balcony", "A", None),
    ]
    assert (hold.currency, hold.time_left_s) == ("EUR", 600)
    assert (hold.concert.starts_at, hold.concert.doors_at, hold.concert.city) == (STARTS_AT, None, "Vienna")
    assert all(ticket.code for ticket in await catalog.confirm(order_id))
    await catalog.release(order_id)
    with pytest.raises(NotFound):
        await catalog.confirm(order_id)


async def test_each_call_carries_a_service_token(catalog: GrpcCatalog, server: CatalogServer) -> None:
    await catalog.release(uuid4())
    verifier = TokenVerifier(secret=SECRET, issuer=ISSUER, audience="catalog", typ=SERVICE_TOKEN_TYPE)
    assert verifier.verify(server.tokens[0]).subject == "ordering"


@pytest.mark.parametrize(
    ("refusal", "told", "code"),
    [
        (Conflict("Sold out.", code="SOLD_OUT"), Conflict, "SOLD_OUT"),
        (Invalid("No such tier.", fields={"lines": "Unknown."}), Invalid, "INVALID"),
        (NotFound("No such concert."), NotFound, "NOT_FOUND"),
        (Unavailable("Busy."), Unavailable, "UNAVAILABLE"),
        (Unauthorized("Who are you?"), Unavailable, "UNAVAILABLE"),
        (Forbidden("Not you."), Unavailable, "UNAVAILABLE"),
    ],
)
async def test_what_the_buyer_is_told(
    catalog: GrpcCatalog, server: CatalogServer, refusal: AppError, told: type[AppError], code: str
) -> None:
    server.refusal = refusal
    with pytest.raises(told) as heard:
        await catalog.hold(uuid4(), CONCERT_ID, WANTED, 600)
    assert heard.value.code == code
    assert heard.value.fields == refusal.fields
