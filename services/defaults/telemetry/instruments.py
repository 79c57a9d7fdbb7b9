"""How durations are measured: all alike."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import Histogram

# Seconds. Half of what the shop does takes a few milliseconds, and nobody waits for longer than ten seconds.
LATENCIES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def latencies(meter: str, name: str, description: str) -> Histogram:
    """A histogram of seconds, with bounds that suit answers over a network."""
    return metrics.get_meter(meter).create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=LATENCIES
    )
