"""Percentiles of durations that are all known."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(durations: Sequence[int], share: float) -> int:
    """The least of the durations that a `share` (0 to 1) of them do not exceed (the nearest rank); 0 of none."""
    if not durations:
        return 0
    rank = math.ceil(share * len(durations))
    return sorted(durations)[max(0, rank - 1)]
