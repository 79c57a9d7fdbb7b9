"""The gateway's composition root: `python -m services.gateway`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from protos.catalog_grpc import CatalogStub
from services.defaults.auth import TokenVerifier
from services.defaults.discovery import open_discovery
from services.defaults.health import Health
from services.defaults.resilience import open_grpc_client, open_http_client
from services.defaults.run import main, serve_http
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import Live, follow
from services.gateway.answers import AnswerCache
from services.gateway.app import create_app
from services.gateway.clients import Clients
from services.gateway.clients.catalog import GrpcCatalog
from services.gateway.clients.identity import HttpIdentity
from services.gateway.clients.ordering import HttpOrdering
from services.gateway.deps import Deps
from services.gateway.limits import Limiter, counter_in
from services.gateway.neighbours import Neighbours
from services.gateway.settings import Settings
from services.gateway.shared_redis import open_shared_redis


async def serve() -> None:
    live = follow(Settings, os.environ)
    s = live.current
    with setup_telemetry("gateway", s):
        async with _open_deps(live) as deps:
            await serve_http(create_app(deps, s.page_rates()), s, deps.health)


@asynccontextmanager
async def _open_deps(live: Live[Settings]) -> AsyncIterator[Deps]:
    s = live.current
    async with AsyncExitStack() as stack:
        discovery = await stack.enter_async_context(open_discovery(s, s.addresses))
        catalog = GrpcCatalog(await stack.enter_async_context(open_grpc_client("catalog", discovery, CatalogStub)))
        identity = HttpIdentity(await stack.enter_async_context(open_http_client("identity", discovery)))
        ordering = HttpOrdering(await stack.enter_async_context(open_http_client("ordering", discovery)))
        # All three only warn: without any one of them the rest of the shop still works, and a page that says
        # so is better than a load balancer's error for everything.
        parts = {"catalog": catalog.ping, "identity": identity.ping, "ordering": ordering.ping}
        redis = await stack.enter_async_context(open_shared_redis(s.redis_url))
        yield Deps(
            clients=Clients(catalog, identity, ordering),
            verifier=TokenVerifier(secret=s.jwt_secret, issuer=s.jwt_issuer, audience=s.jwt_audience),
            health=Health("gateway", s.release, {}, optional=parts),
            limiter=Limiter(counter_in(redis), lambda: live.current.rates),
            answers=AnswerCache(ttl_s=s.public_answer_s),
            neighbours=Neighbours(redis, s.csrf_secret),
            cookie_secret=s.csrf_secret,
            production=s.production,
            public_browsing=s.gateway_public_browsing,
            trace_resolvers=s.graphql_trace_resolvers,
            public_url=s.public_url,
            trusted_proxies=s.trusted_proxies,
            query_limits=lambda: live.current.query_limits,
            max_body_bytes=s.max_body_bytes,
            requests_per_minute=s.request_limit,
        )


if __name__ == "__main__":
    main("gateway", {"serve": serve})
