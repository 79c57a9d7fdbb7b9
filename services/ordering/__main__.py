"""Ordering's composition root: `python -m services.ordering [serve | migrate]`."""

from __future__ import annotations

import os
import secrets
from contextlib import AsyncExitStack

from grpclib.health.v1.health_grpc import HealthStub

from protos.catalog_grpc import CatalogStub
from services.defaults import database
from services.defaults.auth import TokenVerifier
from services.defaults.database import open_database
from services.defaults.discovery import open_discovery
from services.defaults.health import Health
from services.defaults.messaging import open_broker
from services.defaults.resilience import open_grpc_client, open_http_client
from services.defaults.run import main, serve_http
from services.defaults.settings import MigrationSettings, load
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow
from services.ordering.app import Edge, create_app
from services.ordering.catalog import GrpcCatalog, service_token
from services.ordering.crash import crash_at
from services.ordering.gauges import OutboxGauge
from services.ordering.provider import HttpPaymentProvider
from services.ordering.recovery import Recovery
from services.ordering.relay import Relay
from services.ordering.service.deps import Deps
from services.ordering.settings import Settings

MODELS = "services.ordering.models"


async def serve() -> None:
    live = follow(Settings, os.environ)
    s = live.current
    async with AsyncExitStack() as stack:
        stack.enter_context(setup_telemetry("ordering", s))
        enter = stack.enter_async_context
        db = await enter(open_database(s.database_url, MODELS, pool_size=s.database_pool_size))
        broker = await enter(open_broker(s.rabbitmq_url))
        found = await enter(open_discovery(s, s.addresses))
        channel = await enter(open_grpc_client("catalog", found, CatalogStub))
        probe = await enter(open_grpc_client("catalog", found, HealthStub))
        payments = await enter(open_http_client("payments", found))
        provider = HttpPaymentProvider(payments, s.payments_api_key, timeout_s=s.payments_timeout_s)
        catalog = GrpcCatalog(channel, probe, service_token(s.service_token_secret, s.jwt_issuer))
        deps = Deps(
            db=db,
            catalog=catalog,
            provider=provider,
            policy=lambda: live.current.policy,
            random_bits=secrets.randbits,
            reached=crash_at(s.crash_at),
        )
        optional = {"rabbitmq": broker.ping, "catalog": catalog.ping, "payments": provider.ping}
        health = Health("ordering", s.release, {"postgres": db.ping}, optional=optional)
        verifier = TokenVerifier(secret=s.jwt_secret, issuer=s.jwt_issuer, audience=s.jwt_audience)
        app = create_app(
            Edge(deps, verifier, health, s.limits, s.payments_api_key, s.trusted_proxies, not s.production)
        )
        relay = Relay(db, broker, reached=deps.reached)
        recovery = Recovery(deps, interval_s=lambda: live.current.recovery_interval_s)
        await serve_http(app, s, health, background=[relay.run, recovery.run, OutboxGauge(db).run])


async def migrate() -> None:
    await database.migrate(load(MigrationSettings, os.environ).database_url, MODELS)


if __name__ == "__main__":
    main("ordering", {"serve": serve, "migrate": migrate})
