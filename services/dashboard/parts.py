"""A process or server of the system as the pages show it, whoever told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

KINDS: Final = ("service", "server", "step")
VERBS: Final = ("start", "stop", "restart", "freeze", "thaw")
_POSSIBLE: Final[Mapping[str, tuple[str, ...]]] = {
    "starting": ("stop", "restart"),
    "running": ("restart", "stop", "freeze"),
    "frozen": ("thaw", "stop"),
    "stopped": ("start",),
    "failed": ("start", "stop"),
    "done": ("start",),
}


@dataclass(frozen=True)
class Dependency:
    """One check of a health answer; `status` is pass, warn or fail, the latency in milliseconds."""

    name: str
    status: str
    latency_ms: float | None
    output: str


@dataclass(frozen=True)
class Health:
    """What a part says of itself; `status` is pass, warn or fail."""

    status: str
    output: str
    dependencies: Sequence[Dependency]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part. `cpu_percent` is of one core; what is None is not known to whoever told of it.

    `service` groups the instances of one service; `managed` says whether it can be started and stopped here.
    """

    name: str
    kind: str
    service: str
    state: str
    managed: bool = False
    instances: int = 1
    pid: int | None = None
    address: str = ""
    restarts: int | None = None
    started_at: datetime | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    version: str = ""
    health: Health | None = None
    last_lines: Sequence[str] = ()

    @property
    def verbs(self) -> Sequence[str]:
        """What may be done to it now."""
        if not self.managed:
            return ()
        possible = _POSSIBLE.get(self.state, ())
        return possible if self.kind != "step" else tuple(verb for verb in possible if verb in {"start", "stop"})

    @property
    def keeps_data(self) -> bool:
        """Whether stopping it takes away from others what they have written: that is asked about first."""
        return self.kind == "server"

    @property
    def mark(self) -> str:
        """How it is, in one word of pass, warn, fail, idle."""
        if self.state in {"stopped", "failed"}:
            return "fail"
        if self.state in {"starting", "frozen"}:
            return "warn"
        if self.state == "done":
            return "idle"
        return self.health.status if self.health and self.health.status in {"pass", "warn", "fail"} else "idle"


def read_part(body: Mapping[str, Any]) -> Part:
    """A part from the app host's JSON. Raises `KeyError`, `TypeError`, `ValueError` for something else."""
    started = body.get("startedAt")
    return Part(
        name=str(body["name"]),
        kind=str(body["kind"]),
        service=str(body.get("service") or body["name"]),
        state=str(body["state"]),
        managed=bool(body.get("managed", True)),
        instances=int(body.get("instances") or 1),
        pid=body.get("pid"),
        address=str(body.get("address") or ""),
        restarts=body.get("restarts"),
        started_at=datetime.fromisoformat(started) if started else None,
        cpu_percent=body.get("cpuPercent"),
        memory_bytes=body.get("memoryBytes"),
        version=str(body.get("version") or ""),
        health=read_health(body.get("health")),
        last_lines=[str(line) for line in body.get("lastLines") or ()],
    )


def read_health(body: Any) -> Health | None:
    """The answer of a `/health` (draft-inadarei-api-health-check); None where there is none."""
    if not isinstance(body, Mapping):
        return None
    checks = body.get("checks")
    found = checks.items() if isinstance(checks, Mapping) else ()
    return Health(
        status=str(body.get("status") or ""),
        output=str(body.get("output") or ""),
        dependencies=[_dependency(str(name), check) for name, check in found if isinstance(check, Mapping)],
    )


def _dependency(name: str, check: Mapping[str, Any]) -> Dependency:
    latency = check.get("latencyMs")
    return Dependency(
        name=name,
        status=str(check.get("status") or ""),
        latency_ms=float(latency) if isinstance(latency, int | float) else None,
        output=str(check.get("output") or ""),
    )
