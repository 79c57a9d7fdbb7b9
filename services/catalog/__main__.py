"""The catalog's composition root: `python -m services.catalog [serve | migrate | seed | publish]`."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import UTC, datetime

from services.catalog.app import Deps, create_app
from services.catalog.cache import open_cache
from services.catalog.gauges import gauges
from services.catalog.publication import publish as put_up_for_sale
from services.catalog.seed import seed as add_demo_data
from services.catalog.service import Holds
from services.catalog.settings import Settings
from services.catalog.store.concerts import Concerts
from services.catalog.store.stock import Stock
from services.catalog.store.tickets import Tickets
from services.defaults import database
from services.defaults.auth import SERVICE_TOKEN_TYPE, TokenVerifier
from services.defaults.database import open_database
from services.defaults.errors import AppError
from services.defaults.health import Health
from services.defaults.run import main, serve_grpc
from services.defaults.settings import MigrationSettings, load
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow

MODELS = "services.catalog.models"
AUDIENCE = "catalog"


async def serve() -> None:
    live = follow(Settings, os.environ)
    settings = live.current
    with setup_telemetry("catalog", settings):
        async with (
            open_database(settings.database_url, MODELS, pool_size=settings.database_pool_size) as db,
            open_cache(settings.redis_url, ttl_s=lambda: live.current.cache_ttl_s) as cache,
        ):
            concerts = Concerts(db)
            health = Health("catalog", settings.release, {"postgres": db.ping}, optional={"redis": cache.ping})
            holds = Holds(Tickets(db), secrets.token_bytes)
            deps = Deps(concerts=concerts, holds=holds, cache=cache, verifier=_verifier(settings))
            await serve_grpc([create_app(deps)], settings, health, background=gauges(concerts))


async def migrate() -> None:
    await database.migrate(load(MigrationSettings, os.environ).database_url, MODELS)


async def seed() -> None:
    settings = load(Settings, os.environ)
    async with open_database(settings.database_url, MODELS, statement_timeout_s=None) as db:
        await add_demo_data(Stock(db), now=datetime.now(UTC), entropy=secrets.token_bytes)


async def publish() -> None:
    """Puts the concert that standard input describes up for sale, and prints its ids."""
    url = load(MigrationSettings, os.environ).database_url
    async with open_database(url, MODELS, statement_timeout_s=None) as db:
        try:
            sys.stdout.write(await put_up_for_sale(Stock(db), sys.stdin.buffer.read()))
        except AppError as error:
            sys.exit(error.message)


def _verifier(settings: Settings) -> TokenVerifier:
    return TokenVerifier(
        secret=settings.service_token_secret,
        issuer=settings.jwt_issuer,
        audience=AUDIENCE,
        typ=SERVICE_TOKEN_TYPE,
    )


if __name__ == "__main__":
    main("catalog", {"serve": serve, "migrate": migrate, "seed": seed, "publish": publish})
