"""The migrations and the models say the same, and go both ways."""

from __future__ import annotations

from tortoise.context import TortoiseContext
from tortoise.migrations.api import migrate as run_migrations
from tortoise.migrations.autodetector import MigrationAutodetector

from services.defaults.database import migrate, open_database, tortoise_config
from tests.catalog.conftest import MODELS
from tests.conftest import PostgresServer

CLAIM_INDEXES = {"tickets_free", "tickets_leased", "tickets_of_hold", "tickets_of_sale"}


async def test_the_models_need_no_further_migration() -> None:
    config = tortoise_config("postgres://nobody@nowhere/none", MODELS)
    with TortoiseContext() as context:
        await context.init(config=config)
        assert context.apps
        assert await MigrationAutodetector(context.apps, config["apps"]).changes() == []


async def test_migrating_again_changes_nothing_and_all_can_be_undone(postgres: PostgresServer) -> None:
    url = postgres.create_database("migrations")
    await migrate(url, MODELS)
    await migrate(url, MODELS)
    assert await objects(url) > CLAIM_INDEXES
    with TortoiseContext() as context:
        await run_migrations(
            config=tortoise_config(url, MODELS), app_labels=["catalog"], target="catalog.0002_known_states"
        )
        await context.close_connections()
    assert not await objects(url) & CLAIM_INDEXES
    await migrate(url, MODELS)
    assert await objects(url) > CLAIM_INDEXES


async def objects(url: str) -> set[str]:
    """The names of the database's indexes."""
    async with open_database(url, MODELS) as database:
        rows = await database.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        return {row["indexname"] for row in rows}
