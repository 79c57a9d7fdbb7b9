from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.defaults.settings import (
    CommonSettings,
    SettingsError,
    describe,
    load,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class Sample(CommonSettings):
    port: int = setting("Port", default=9000, minimum=0, maximum=65535)
    database_url: str = setting("Database", secret=True)
    jwt_secret: str = setting("Key", signing_key=True)
    networks: tuple[str, ...] = setting("Networks", default=())
    ratio: float = setting("Share", default=0.5, minimum=0, maximum=1)


GOOD = {"DATABASE_URL": "postgres://x", "JWT_SECRET": "s" * 32}


def test_reads_every_kind_of_value() -> None:
    settings = load(
        Sample,
        {**GOOD, "PORT": "1", "CONSUL_REGISTER": "off", "NETWORKS": "10.0.0.0/8, ::1/128", "RATIO": "1"},
    )
    assert (settings.port, settings.consul_register, settings.ratio) == (1, False, 1.0)
    assert settings.networks == ("10.0.0.0/8", "::1/128")
    assert not settings.production


def test_names_every_bad_key_at_once() -> None:
    env = {
        "PORT": "seven",
        "JWT_SECRET": "short",
        "RATIO": "2",
        "ENVIRONMENT": "prod",
        "CONSUL_REGISTER": "maybe",
    }
    with pytest.raises(SettingsError) as caught:
        load(Sample, env)
    for key in ("PORT", "JWT_SECRET", "RATIO", "ENVIRONMENT", "CONSUL_REGISTER", "DATABASE_URL"):
        assert f"{key}: " in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("value", ["-1", "65536", "1.5", "nan", ""])
def test_bounds_are_kept(value: str) -> None:
    if value == "":
        assert load(Sample, {**GOOD, "PORT": value}).port == 9000
        return
    with pytest.raises(SettingsError, match="PORT"):
        load(Sample, {**GOOD, "PORT": value})


def test_not_a_number_is_outside_every_bound() -> None:
    with pytest.raises(SettingsError, match="RATIO"):
        load(Sample, {**GOOD, "RATIO": "nan"})


def test_secrets_do_not_show_in_the_representation() -> None:
    assert "s" * 32 not in repr(load(Sample, GOOD))


def test_describe_gives_a_row_for_each_key() -> None:
    rows = {row.key: row for row in describe(Sample)}
    assert rows["DATABASE_URL"].default == "required"
    assert rows["CONSUL_REGISTER"].default == "on"
    assert all(row.doc for row in rows.values())
