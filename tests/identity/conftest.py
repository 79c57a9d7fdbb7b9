"""Identity on a real Postgres: one migrated database a run, emptied before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest
import pytest_asyncio
from quart import Quart

from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.database import Database, migrate, open_database
from services.defaults.health import Health
from services.identity.app import Deps, RouteLimits, create_app
from services.identity.passwords import HashingCost, PasswordHasher
from services.identity.service import IdentityService, Policy
from services.identity.store import Lifetimes, Pace, Store

MODELS = "services.identity.models"
SECRET = "a signing key of the tests, 32 bytes or more"
ISSUER, AUDIENCE = "https://ticketflow.test", "ticketflow"
QUICK = HashingCost(memory_kib=64, passes=1, lanes=1)  # the tests are not about how long a hash takes
LIFETIMES = Lifetimes(token_s=3600, family_s=86_400)
POLICY = Policy(leeway_s=10, per_account=Pace(5, 900), per_address=Pace(20, 900))
WIDE = RouteLimits(register=10_000, login=10_000, refresh=10_000, read=10_000)


class PostgresServer(Protocol):
    def create_database(self, hint: str) -> str: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database_url(postgres: PostgresServer) -> str:
    url = postgres.create_database("identity")
    await migrate(url, MODELS)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, MODELS) as database:
        await database.execute("TRUNCATE users, token_families, refresh_tokens, login_throttles")
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, LIFETIMES)


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    with PasswordHasher(QUICK) as hasher:
        yield hasher


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer(secret=SECRET, issuer=ISSUER, audience=AUDIENCE, lifetime_s=900)


@pytest.fixture
def service(store: Store, hasher: PasswordHasher, issuer: TokenIssuer) -> IdentityService:
    return IdentityService(store, hasher, issuer, lambda: POLICY)


@pytest.fixture
def deps(service: IdentityService, database: Database) -> Deps:
    return Deps(
        service=service,
        verifier=TokenVerifier(secret=SECRET, issuer=ISSUER, audience=AUDIENCE),
        health=Health("identity", "test", {"postgres": database.ping}),
        limits=WIDE,
        trusted_proxies=("127.0.0.0/8",),
    )


@pytest.fixture
def app(deps: Deps) -> Quart:
    return create_app(deps)
