"""Settings: one frozen dataclass a service, read once from the environment.

    @dataclass(frozen=True, kw_only=True)
    class Settings(CommonSettings):
        database_url: str = setting("Where the service's database is", secret=True)

    settings = load(Settings, os.environ)

The environment's key is the field's name in capitals. A key that is missing or malformed stops the start,
with a message that names every bad key at once. `tunables.py` has those that change while the process runs.
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
    """The settings do not make a valid configuration. Each of its `problems` begins with a bad key, as `PORT: …`."""

    def __init__(self, *problems: str) -> None:
        super().__init__("These settings need mending:\n  " + "\n  ".join(sorted(problems)))
        self.problems = problems


@dataclass(frozen=True)
class Rule:
    """What a setting is for and what it may hold; kept in the dataclass field's metadata."""

    doc: str
    secret: bool = False
    signing_key: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: Sequence[str] = ()
    tunable: bool = False


@dataclass(frozen=True)
class Described:
    """One row of the settings table."""

    key: str
    default: str
    doc: str
    tunable: bool


def setting(
    doc: str,
    *,
    default: Any = REQUIRED,
    secret: bool = False,
    signing_key: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    tunable: bool = False,
) -> Any:
    """A dataclass field that is read from the environment.

    `secret` keeps the value out of every message; `signing_key` also demands 32 bytes. What is `tunable` may
    change while the process runs (`tunables.py`), so whoever uses it keeps no copy.
    """
    rule = Rule(doc, secret or signing_key, signing_key, minimum, maximum, choices, tunable)
    if rule.tunable and rule.secret:
        raise TypeError(f"a secret is never tunable ({doc})")
    return field(default=default, metadata={"rule": rule}, repr=not rule.secret)


_HTTP: Final = "http/protobuf"
_SAMPLERS: Final = tuple(
    parent + rule for parent in ("", "parentbased_") for rule in ("always_on", "always_off", "traceidratio")
)


def _protocol(signal: str) -> Any:
    return setting(f"How {signal} are sent: only `{_HTTP}` is spoken here", default=_HTTP, choices=(_HTTP,))


def _ending(signal: str) -> Any:
    return setting(f"Address of {signal} alone, as it stands; empty: as above, with its usual path", default="")


def _exporter(signal: str, *others: str) -> Any:
    choices = ("otlp", *others, "none")
    return setting(f"`none` sends no {signal}", default="otlp", choices=choices)


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """The standard variables of OpenTelemetry, as far as they mean something here.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Some the SDK reads by
    itself; they are here so that a bad value stops the start, and for the table.
    """

    otel_sdk_disabled: bool = setting("Switches traces, metrics and the sending of logs off", default=False)
    otel_service_name: str = setting("Another name for the process", default="")
    otel_resource_attributes: str = setting("`key=value,…` that everything sent carries", default="")
    otel_exporter_otlp_endpoint: str = setting(
        "Where traces, metrics and logs go by OTLP/HTTP; empty: nowhere", default=""
    )
    otel_exporter_otlp_traces_endpoint: str = _ending("traces")
    otel_exporter_otlp_metrics_endpoint: str = _ending("metrics")
    otel_exporter_otlp_logs_endpoint: str = _ending("logs")
    otel_exporter_otlp_protocol: str = _protocol("all three")
    otel_exporter_otlp_traces_protocol: str = _protocol("traces")
    otel_exporter_otlp_metrics_protocol: str = _protocol("metrics")
    otel_exporter_otlp_logs_protocol: str = _protocol("logs")
    otel_exporter_otlp_headers: str = setting(
        "`key=value,…` sent as headers, for a collector's key", default="", secret=True
    )
    otel_exporter_otlp_compression: str = setting(
        "`gzip` for a collector that is far away", default="none", choices=("none", "gzip", "deflate")
    )
    otel_exporter_otlp_timeout: int = setting("Milliseconds that one sending may take", default=5_000, minimum=1)
    otel_exporter_otlp_traces_timeout: int = setting("The same for traces; 0: as above", default=0, minimum=0)
    otel_exporter_otlp_metrics_timeout: int = setting("The same for metrics; 0: as above", default=0, minimum=0)
    otel_exporter_otlp_logs_timeout: int = setting("The same for logs; 0: as above", default=0, minimum=0)
    otel_traces_exporter: str = _exporter("traces")
    otel_metrics_exporter: str = _exporter("metrics; `/metrics` is there in any case", "prometheus")
    otel_logs_exporter: str = _exporter("logs; the terminal has them in any case")
    otel_traces_sampler: str = setting(
        "Which traces are kept, as `parentbased_traceidratio`", default="parentbased_always_on", choices=_SAMPLERS
    )
    otel_traces_sampler_arg: float = setting(
        "Share of traces that the samplers by ratio keep", default=1.0, minimum=0, maximum=1
    )
    otel_metric_export_interval: int = setting(
        "Milliseconds between two sendings of metrics", default=10_000, minimum=100
    )

    def sends(self, signal: str) -> bool:
        """Whether `traces`, `metrics` or `logs` leave the process."""
        where = getattr(self, f"otel_exporter_otlp_{signal}_endpoint") or self.otel_exporter_otlp_endpoint
        return bool(where) and getattr(self, f"otel_{signal}_exporter") == "otlp"

    def export_timeout_s(self, signal: str) -> float:
        """The SDK reads these variables as seconds; the specification, and so everybody else, has milliseconds."""
        own_ms: int = getattr(self, f"otel_exporter_otlp_{signal}_timeout")
        return (own_ms or self.otel_exporter_otlp_timeout) / 1000


@dataclass(frozen=True, kw_only=True)
class CommonSettings(TelemetrySettings):
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
        tunable=True,
    )
    log_format: str = setting(
        "`json`, `pretty`, or `auto`: pretty on a terminal",
        default="auto",
        choices=("auto", "json", "pretty"),
    )
    tunables_file: str = setting(
        "File of `KEY=VALUE` lines with settings marked ‡, which go before the environment's; read again at SIGHUP",
        default="",
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
        raise SettingsError(*problems)
    return cls(**values)


def describe(cls: type[Any]) -> list[Described]:
    """The settings of `cls` as rows for a table, in the order in which they are declared."""
    return [
        Described(key, "required" if default is REQUIRED else _show(default), rule.doc, rule.tunable)
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
