"""Settings: one frozen dataclass a service, read once from the environment.

    @dataclass(frozen=True, kw_only=True)
    class Settings(CommonSettings):
        database_url: str = setting("Where the service's database is", secret=True)

    settings = load(Settings, os.environ)

The environment's key is the field's name in capitals. A key that is missing or malformed stops the start,
with a message that names every bad key at once.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

T = TypeVar("T")

REQUIRED: Final = dataclasses.MISSING
MIN_SIGNING_KEY_BYTES: Final = 32  # RFC 7518, 3.2: HS256 needs a key at least as long as its hash

_TRUE = frozenset({"1", "true", "on", "yes"})
_FALSE = frozenset({"0", "false", "off", "no"})


class SettingsError(Exception):
    """The environment does not make a valid configuration; the message names every bad key."""


@dataclass(frozen=True)
class Rule:
    """What a setting is for and what it may hold; kept in the dataclass field's metadata."""

    doc: str
    secret: bool = False
    signing_key: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Described:
    """One row of the settings table."""

    key: str
    default: str
    doc: str


def setting(
    doc: str,
    *,
    default: Any = REQUIRED,
    secret: bool = False,
    signing_key: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field that is read from the environment.

    `secret` keeps the value out of every message; `signing_key` also demands 32 bytes.
    """
    rule = Rule(doc, secret or signing_key, signing_key, minimum, maximum, choices)
    return field(default=default, metadata={"rule": rule}, repr=not rule.secret)


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every process is told, whatever it does."""

    environment: str = setting(
        "`production` turns off GraphiQL, introspection and API pages, and makes cookies secure",
        default="development",
        choices=("development", "production"),
    )
    release: str = setting("Version of the deployment, as health and telemetry report it", default="dev")
    host: str = setting("Address to listen on", default="127.0.0.1")
    port: int = setting("Port to listen on", minimum=0, maximum=65535)
    admin_port: int = setting(
        "Port of health and liveness where the main port does not speak HTTP",
        default=0,
        minimum=0,
        maximum=65535,
    )
    advertise: str = setting("`host:port` at which others reach this process; empty: HOST:PORT", default="")
    consul_http_addr: str = setting("Consul agent's URL; empty: the static `…_ADDR` addresses", default="")
    consul_http_token: str = setting("Consul ACL token", default="", secret=True)
    consul_register: bool = setting("Register in Consul; off where Nomad registers", default=True)
    log_level: str = setting(
        "Least severe level that is logged",
        default="info",
        choices=("debug", "info", "warning", "error"),
    )
    log_format: str = setting(
        "`json`, `pretty`, or `auto`: pretty on a terminal",
        default="auto",
        choices=("auto", "json", "pretty"),
    )
    drain_s: float = setting(
        "Seconds between failing readiness and refusing connections, at SIGTERM",
        default=1.0,
        minimum=0,
        maximum=60,
    )
    grace_s: float = setting(
        "Seconds that requests in flight have to finish after that", default=20.0, minimum=0, maximum=300
    )
    otel_exporter_otlp_endpoint: str = setting("Where traces and metrics go by OTLP/HTTP; empty: nowhere", default="")
    otel_metric_export_interval: int = setting(
        "Milliseconds between two exports of the metrics", default=10_000, minimum=100
    )
    trace_sample_ratio: float = setting(
        "Share of traces that start here and are kept", default=1.0, minimum=0, maximum=1
    )

    @property
    def production(self) -> bool:
        return self.environment == "production"


@dataclass(frozen=True, kw_only=True)
class MigrationSettings:
    """As much as the verb `migrate` needs to know."""

    database_url: str = setting("The service's Postgres database", secret=True)


def load(cls: type[T], env: Mapping[str, str]) -> T:
    """Reads `cls` from the environment.

    Raises `SettingsError` naming every missing or malformed key at once.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, name, kind, rule, default in _fields(cls):
        raw = env.get(key, "")
        if raw == "" and default is not REQUIRED:
            continue
        try:
            values[name] = _parse(raw, kind, rule)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise SettingsError("These settings need mending:\n  " + "\n  ".join(sorted(problems)))
    return cls(**values)


def describe(cls: type[Any]) -> list[Described]:
    """The settings of `cls` as rows for a table, in the order in which they are declared."""
    return [
        Described(key, "required" if default is REQUIRED else _show(default), rule.doc)
        for key, _, _, rule, default in _fields(cls)
    ]


def _fields(cls: type[Any]) -> Iterator[tuple[str, str, Any, Rule, Any]]:
    kinds = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        yield entry.name.upper(), entry.name, kinds[entry.name], entry.metadata["rule"], entry.default


def _parse(raw: str, kind: Any, rule: Rule) -> Any:
    if raw == "":
        raise ValueError(f"is missing ({rule.doc})")
    if isinstance(kind, types.UnionType):  # `str | None`: a value that is there is the first of the two
        kind = typing.get_args(kind)[0]
    value = _convert(raw, kind)
    _check(value, rule)
    return value


def _convert(raw: str, kind: Any) -> Any:
    if kind is bool:
        return _to_bool(raw)
    if kind in (int, float):
        try:
            return kind(raw)
        except ValueError:
            raise ValueError(f"must be a {'whole ' if kind is int else ''}number") from None
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    return raw


def _to_bool(raw: str) -> bool:
    if raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise ValueError("must be on or off")


def _check(value: Any, rule: Rule) -> None:
    if rule.choices and value not in rule.choices:
        raise ValueError(f"must be one of {', '.join(rule.choices)}")
    if rule.minimum is not None and not value >= rule.minimum:
        raise ValueError(f"must be at least {rule.minimum:g}")
    if rule.maximum is not None and not value <= rule.maximum:
        raise ValueError(f"must be at most {rule.maximum:g}")
    if rule.signing_key and len(value.encode()) < MIN_SIGNING_KEY_BYTES:
        raise ValueError(f"must have at least {MIN_SIGNING_KEY_BYTES} bytes")


def _show(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default)
