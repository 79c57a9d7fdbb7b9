"""Where the time of an order goes: the same order, entered one hop deeper each time, with nobody else about."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from grpclib.health.v1.health_grpc import HealthStub

from protos.catalog_grpc import CatalogStub
from services.apphost.state import SECRETS
from services.apphost.system import System
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.resilience import open_grpc_client
from services.ordering.catalog import GrpcCatalog, service_token
from services.ordering.domain import Wanted
from tests.bench.orders import make_concerts
from tests.integration.shop import Shop, open_shop, order_input

ROUNDS: Final = 200
WARM_ROUNDS: Final = 20
GATEWAY, ORDERING, CATALOG = "GraphQL at the gateway", "REST at ordering", "gRPC at the catalog"


async def measure_hops(system: System) -> dict[str, float]:
    """Milliseconds (median) of one order that enters at each hop; the hops take turns."""
    (concert,) = await make_concerts(system, 1, 2 * 3 * (ROUNDS + WARM_ROUNDS))
    taken: dict[str, list[float]] = {GATEWAY: [], ORDERING: [], CATALOG: []}
    async with open_shop(system.urls["gateway"]) as shop, _catalog(system) as catalog:
        await shop.register()
        hops: dict[str, Callable[[], Awaitable[Any]]] = {
            GATEWAY: lambda: shop.place(concert),
            ORDERING: lambda: _place_at_ordering(shop, system.urls["ordering"], concert),
            CATALOG: lambda: catalog.hold(uuid4(), concert["id"], [Wanted(concert["tiers"][0]["id"], 2)], 600),
        }
        for _ in range(WARM_ROUNDS + ROUNDS):
            for hop, place in hops.items():
                began = time.perf_counter()
                await place()
                taken[hop].append(time.perf_counter() - began)
    return {hop: statistics.median(times[WARM_ROUNDS:]) * 1000 for hop, times in taken.items()}


async def _place_at_ordering(shop: Shop, ordering: str, concert: dict[str, Any]) -> None:
    wanted = order_input(concert, 2)
    body = {"concertId": wanted["concertId"], "lines": wanted["lines"]}
    headers = {"Authorization": f"Bearer {shop.token}", "Idempotency-Key": secrets.token_hex(8)}
    async with shop.http.post(f"{ordering}/orders", json=body, headers=headers) as response:
        assert response.status == 201, await response.text()
        await response.json()


@asynccontextmanager
async def _catalog(system: System) -> AsyncIterator[GrpcCatalog]:
    """The catalog as ordering calls it."""
    secret = json.loads((system.state / SECRETS).read_text())["service_token"]
    found = StaticDiscovery({"catalog": [Endpoint.parse(system.urls["catalog"])]})
    async with (
        open_grpc_client("catalog", found, CatalogStub) as client,
        open_grpc_client("catalog", found, HealthStub) as probe,
    ):
        yield GrpcCatalog(client, probe, service_token(secret, "https://ticketflow.test"))
