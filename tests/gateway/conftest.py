from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.defaults.auth import TokenIssuer, TokenVerifier
from services.defaults.health import Health
from services.gateway import shared_redis
from services.gateway.answers import AnswerCache
from services.gateway.deps import Deps
from services.gateway.limits import Act, Limiter, MemoryCounter, Rate
from tests.gateway.fakes import Shop

SECRET = "a-secret-of-the-tests-with-enough-bytes"
ISSUER, AUDIENCE = "https://ticketflow.test", "ticketflow"
MakeDeps = Callable[..., Deps]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def make_deps(shop: Shop) -> MakeDeps:
    """`make_deps(rates={…}, **fields of Deps)`: a gateway in front of `shop`."""

    def make(*, rates: dict[Act, Rate] | None = None, **changes: Any) -> Deps:
        fields: dict[str, Any] = {
            "clients": shop.clients,
            "verifier": TokenVerifier(secret=SECRET, issuer=ISSUER, audience=AUDIENCE),
            "health": Health("gateway", "test", {}),
            "limiter": Limiter(MemoryCounter(), lambda: rates or {}),
            "answers": AnswerCache(),
            "cookie_secret": SECRET,
        }
        return Deps(**fields | changes)

    return make


@pytest.fixture
def token() -> str:
    """A good access token of `user-1`."""
    issuer = TokenIssuer(secret=SECRET, issuer=ISSUER, audience=AUDIENCE, lifetime_s=900)
    return issuer.issue("user-1", claims={"email": "buyer@ticketflow.test", "name": "Buyer"})


@pytest.fixture
def expired_token() -> str:
    issuer = TokenIssuer(secret=SECRET, issuer=ISSUER, audience=AUDIENCE, lifetime_s=60)
    return issuer.issue("user-1", now_s=1_000_000)


@pytest.fixture
def contract() -> str:
    return (Path(__file__).parent / "contract.graphql").read_text("utf-8")


@pytest.fixture
def redis_url(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """As everywhere, and patiently: on a busy machine a good Redis is slow, too."""
    monkeypatch.setattr(shared_redis, "TIMEOUT_S", 10.0)
    return redis_url
