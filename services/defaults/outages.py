"""What everybody does who has lost a server and tries again: how long to wait, and how often to say it."""

from __future__ import annotations

import random
from typing import Final

BASE_S: Final = 0.25


def back_off_s(failures: int, maximum_s: float) -> float:
    """Full jitter (Marc Brooker, "Exponential Backoff And Jitter"): anywhere up to a ceiling that doubles, so that
    the callers of a restarted server do not march."""
    return random.uniform(0, min(maximum_s, BASE_S * 2.0 ** min(failures, 16)))  # noqa: S311 - guards nothing


def is_news(failures: int) -> bool:
    """Whether to say it of the n-th failure in a row: the first, second, fourth, eighth…; an outage fills no log."""
    return failures & (failures - 1) == 0
