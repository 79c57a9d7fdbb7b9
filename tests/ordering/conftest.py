"""Ordering on a real Postgres: one migrated database a run, emptied before each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
import pytest_asyncio
from quart import Quart

from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.database import Database, migrate, open_database
from services.defaults.health import Health
from services.ordering.app import Edge, RouteLimits, create_app
from services.ordering.service.deps import Deps, Policy
from tests.ordering.support import (
    AUDIENCE,
    ISSUER,
    MODELS,
    SECRET,
    WEBHOOK_KEY,
    CrashAt,
    FakeCatalog,
    FakeProvider,
)


class PostgresServer(Protocol):
    def create_database(self, hint: str) -> str: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_url(postgres: PostgresServer) -> str:
    url = postgres.create_database("ordering")
    await migrate(url, MODELS)
    return url


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, MODELS) as database:
        await database.execute("TRUNCATE orders, idempotency_keys, webhook_events CASCADE")
        yield database


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def crash_at() -> CrashAt:
    return CrashAt()


@pytest.fixture
def deps(db: Database, catalog: FakeCatalog, provider: FakeProvider, crash_at: CrashAt) -> Deps:
    """Leases of no length: whatever a crash leaves is anybody's at once."""
    return Deps(
        db=db,
        catalog=catalog,
        provider=provider,
        policy=lambda: Policy(hold_ttl_s=600, expiry_grace_s=0, key_lease_s=0, work_lease_s=0, recheck_s=0),
        random_bits=secrets.randbits,
        reached=crash_at,
    )


@pytest.fixture
def app(deps: Deps) -> Quart:
    verifier = TokenVerifier(secret=SECRET, issuer=ISSUER, audience=AUDIENCE)
    health = Health("ordering", "test", {"postgres": deps.db.ping})
    return create_app(Edge(deps, verifier, health, RouteLimits(100_000, 100_000, 100_000), WEBHOOK_KEY))


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer(secret=SECRET, issuer=ISSUER, audience=AUDIENCE, lifetime_s=900)
