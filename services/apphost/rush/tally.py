"""What came of a rush, in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.apphost.rush.buyer import Outcome
from services.apphost.rush.chaos import Outage
from services.apphost.rush.gateway import Sample
from services.apphost.rush.stage import Level

PERCENTILES: Final = (50, 95, 99)
TIMED: Final = ("place", "pay")


@dataclass(frozen=True)
class Slice:
    """One stretch of the rush: ``per_s`` requests were answered a second; ``slow_s`` is the 95th percentile."""

    at_s: float
    per_s: float
    median_s: float
    slow_s: float


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed (nearest rank); 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def slices(samples: Sequence[Sample], length_s: float) -> list[Slice]:
    """The samples by when they were answered, without gaps."""
    answered: dict[int, list[float]] = {}
    for sample in samples:
        answered.setdefault(int((sample.at_s + sample.took_s) // length_s), []).append(sample.took_s)
    return [
        Slice(number * length_s, len(took) / length_s, percentile(took, 50), percentile(took, 95))
        for number in range(max(answered, default=-1) + 1)
        for took in [answered.get(number, [])]
    ]


def summarise(
    outcomes: Counter[Outcome],
    samples: Sequence[Sample],
    last: Level,
    *,
    lasted_s: float,
    outages: Sequence[Outage] = (),
) -> list[tuple[str, str]]:
    """Labels and values, for the end of a rush."""
    buyers = [f"{outcomes[outcome]} {outcome}" for outcome in Outcome if outcomes[outcome]]
    refusals = Counter(sample.code for sample in samples if sample.code)
    return [
        ("tickets", f"{last.sold} sold of {last.tickets}; {last.held} held, {last.left} left"),
        ("buyers", ", ".join(buyers)),
        ("requests", f"{len(samples)} in {lasted_s:.0f} s: {len(samples) / max(lasted_s, 0.1):.0f} a second"),
        ("refusals", ", ".join(f"{number} {code}" for code, number in refusals.most_common()) or "none"),
        *(_latency(kind, samples) for kind in TIMED),
        *([("killed", ", ".join(map(str, outages)))] if outages else []),
    ]


def _latency(kind: str, samples: Sequence[Sample]) -> tuple[str, str]:
    took = [sample.took_s for sample in samples if sample.kind == kind]
    values = [f"p{percent} {percentile(took, percent) * 1000:.0f} ms" for percent in PERCENTILES]
    return f"to {kind}", f"{', '.join(values)}, of {len(took)}"
