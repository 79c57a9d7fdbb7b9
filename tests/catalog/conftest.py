"""The catalog on a real Postgres: one migrated database a run, emptied before each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.catalog.service import Holds
from services.catalog.store.concerts import Concerts
from services.catalog.store.tickets import Tickets
from services.defaults.database import Database, migrate, open_database
from tests.conftest import PostgresServer

MODELS = "services.catalog.models"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_url(postgres: PostgresServer) -> str:
    url = postgres.create_database("catalog")
    await migrate(url, MODELS)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, MODELS) as database:
        await database.execute("TRUNCATE venues, concerts, tiers, tickets, holds")
        yield database


@pytest.fixture
def concerts(database: Database) -> Concerts:
    return Concerts(database)


@pytest.fixture
def holds(database: Database) -> Holds:
    return Holds(Tickets(database), secrets.token_bytes)
