"""Identity's composition root: `python -m services.identity [serve | migrate | seed]`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.defaults import database
from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.database import Database, open_database
from services.defaults.health import Health
from services.defaults.run import main, serve_http
from services.defaults.settings import MigrationSettings, load
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow
from services.identity.app import Deps, RouteLimits, create_app
from services.identity.passwords import HashingCost, PasswordHasher
from services.identity.pruning import Pruner
from services.identity.seed import seed_demo_buyer
from services.identity.service import IdentityService, Policy
from services.identity.settings import Settings
from services.identity.store import Lifetimes, Pace, Store

MODELS = "services.identity.models"


async def serve() -> None:
    live = follow(Settings, os.environ)
    s = live.current
    with setup_telemetry("identity", s):
        async with _open_stores(s) as (db, store, hasher):
            issuer = TokenIssuer(
                secret=s.jwt_secret,
                issuer=s.jwt_issuer,
                audience=s.jwt_audience,
                lifetime_s=s.access_token_s,
            )
            health = Health("identity", s.release, {"postgres": db.ping})
            deps = Deps(
                service=IdentityService(store, hasher, issuer, lambda: _policy(live.current)),
                verifier=TokenVerifier(secret=s.jwt_secret, issuer=s.jwt_issuer, audience=s.jwt_audience),
                health=health,
                limits=RouteLimits(s.register_limit, s.login_limit, s.refresh_limit, s.read_limit),
                trusted_proxies=s.trusted_proxies,
                api_pages=not s.production,
            )
            pruner = Pruner(store, interval_s=s.prune_interval_s, history_s=s.history_s)
            await serve_http(create_app(deps), s, health, background=[pruner.run])


async def migrate() -> None:
    await database.migrate(load(MigrationSettings, os.environ).database_url, MODELS)


async def seed() -> None:
    async with _open_stores(load(Settings, os.environ)) as (_, store, hasher):
        await seed_demo_buyer(store, hasher)


@asynccontextmanager
async def _open_stores(s: Settings) -> AsyncIterator[tuple[Database, Store, PasswordHasher]]:
    cost = HashingCost(s.argon2_memory_kib, s.argon2_passes, s.argon2_lanes)
    with PasswordHasher(cost, concurrency=s.hashing_concurrency, queue=s.hashing_queue) as hasher:
        async with open_database(s.database_url, MODELS, pool_size=s.database_pool_size) as db:
            yield db, Store(db, Lifetimes(s.refresh_token_s, s.refresh_family_s)), hasher


def _policy(s: Settings) -> Policy:
    per_account = Pace(s.login_account_limit, s.login_window_s)
    return Policy(s.refresh_leeway_s, per_account, Pace(s.login_address_limit, s.login_window_s))


if __name__ == "__main__":
    main("identity", {"serve": serve, "migrate": migrate, "seed": seed})
