from __future__ import annotations

import pytest

from services.defaults.settings import SettingsError, load
from services.gateway.guard import QueryLimits
from services.gateway.limits import Act
from services.gateway.settings import Settings

SECRETS = {"JWT_SECRET": "j" * 32, "CSRF_SECRET": "c" * 32}


def test_the_defaults_are_the_contracts_limits() -> None:
    settings = load(Settings, SECRETS)
    assert settings.query_limits == QueryLimits()
    assert settings.max_body_bytes == 64 * 1024
    assert settings.port == 8080
    limits = QueryLimits()
    assert (limits.max_query_bytes, limits.max_depth, limits.max_aliases, limits.max_tokens) == (
        8192,
        10,
        15,
        500,
    )


def test_whatever_is_limited_has_a_rate() -> None:
    assert load(Settings, SECRETS).rates.keys() == set(Act)


def test_production_has_no_introspection() -> None:
    assert not load(Settings, SECRETS | {"ENVIRONMENT": "production"}).query_limits.introspection


def test_secrets_are_needed() -> None:
    with pytest.raises(SettingsError, match=r"CSRF_SECRET.*\n.*JWT_SECRET"):
        load(Settings, {})
