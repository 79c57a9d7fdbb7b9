"""What watching costs: the same load with telemetry off, on as in production, and with everything traced.

The receiver is the dashboard, a process of its own; what that takes is shown apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from services.apphost.system import running_system
from tests.bench.orders import Steady, measure_steady

RECEIVER: Final = "dashboard"


@dataclass(frozen=True)
class Mode:
    """`env` is what every service is told; without `received` nobody listens, and nothing is sent."""

    env: Mapping[str, str]
    received: bool = True


MODES: Final[Mapping[str, Mode]] = {
    "off": Mode({}, received=False),
    "metrics, logs, a trace in ten": Mode(
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    ),
    "metrics, logs, every trace": Mode({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}),
}


def compare_modes(state: Path, seconds: float, *, orders_per_s: int, reads_per_s: int) -> dict[str, Steady]:
    """The steady load under each mode, one after the other, on the same data."""
    return {name: _measure(state, mode, seconds, orders_per_s, reads_per_s) for name, mode in MODES.items()}


def _measure(state: Path, mode: Mode, seconds: float, orders_per_s: int, reads_per_s: int) -> Steady:
    left_out = () if mode.received else (RECEIVER,)
    with running_system(state, env=mode.env, without=left_out) as system:
        return uvloop.run(measure_steady(system, seconds, orders_per_s=orders_per_s, reads_per_s=reads_per_s))
