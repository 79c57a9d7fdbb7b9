"""Values over time: from the points of several series to a line.

Time is cut into slots of one length, numbered from 0; slot -1 is all that was before. A series gives at most one
sample to a slot, the last of it, or for a level one that sums the slot up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.dashboard.domain.histograms import Buckets, grown, merged, quantile

BEFORE: Final = -1
PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}

Values = list[float | None]


@dataclass(frozen=True, kw_only=True)
class Level:
    """How high a value stood in a slot: a gauge, or a sum that goes up and down."""

    slot: int
    mean: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, kw_only=True)
class Total:
    """What a counter or a histogram had come to. `fresh`: it has counted only since the beginning of the plot."""

    slot: int
    fresh: bool
    value: float
    counted: int = 0
    buckets: Buckets | None = None


@dataclass(frozen=True)
class Growth:
    """What was added in a slot: `value` to a counter or to a histogram's sum."""

    value: float = 0.0
    counted: int = 0
    buckets: Sequence[Buckets] = field(default_factory=tuple)


def held(levels: Sequence[Level], slots: int, alive_until: int) -> dict[int, Level]:
    """The level in each slot: the last one stays where nothing new came, up to the slot `alive_until`."""
    known = {level.slot: level for level in levels}
    last: Level | None = known.get(BEFORE)
    result: dict[int, Level] = {}
    for slot in range(min(slots, alive_until + 1)):
        if slot in known:
            last = known[slot]
            result[slot] = last
        elif last is not None:
            result[slot] = Level(slot=slot, mean=last.last, low=last.last, high=last.last, last=last.last)
    return result


def growths(totals: Sequence[Total], slots: int, alive_until: int) -> dict[int, Growth]:
    """What a cumulative series gained in each slot in which it was there; a reset begins again from nothing."""
    result: dict[int, Growth] = {}
    before: Total | None = None
    for total in sorted(totals, key=lambda each: each.slot):
        if total.slot != BEFORE:
            result[total.slot] = _growth(before, total)
        before = total
    first = min((total.slot for total in totals), default=slots)
    for slot in range(max(0, first), min(slots, alive_until + 1)):
        result.setdefault(slot, Growth())
    return result


def added(totals: Iterable[Total]) -> dict[int, Growth]:
    """What a series of differences gained in each slot."""
    result: dict[int, Growth] = {}
    for total in totals:
        if total.slot != BEFORE:
            so_far = result.get(total.slot, Growth())
            result[total.slot] = _sum([so_far, _growth(Total(slot=BEFORE, fresh=True, value=0), total)])
    return result


def level_line(aggregate: str, series: Sequence[Mapping[int, Level]], slots: int) -> Values:
    """Several series of levels as one line: `avg`, `min`, `max`, `last` or `sum` (of their averages)."""
    combine: Callable[[list[Level]], float] = {
        "avg": lambda levels: sum(level.mean for level in levels) / len(levels),
        "min": lambda levels: min(level.low for level in levels),
        "max": lambda levels: max(level.high for level in levels),
        "last": lambda levels: levels[-1].last,
        "sum": lambda levels: sum(level.mean for level in levels),
    }[aggregate]
    present = [[each[slot] for each in series if slot in each] for slot in range(slots)]
    return [combine(levels) if levels else None for levels in present]


def growth_line(aggregate: str, series: Sequence[Mapping[int, Growth]], slots: int, step_s: float) -> Values:
    """Several counters or histograms as one line: `increase` and `rate` (a second) of counters; of histograms
    `count` and `rate` of measurements, their `sum` and `avg`, and percentiles.
    """
    by_slot: dict[int, list[Growth]] = defaultdict(list)
    for each in series:
        for slot, growth in each.items():
            by_slot[slot].append(growth)
    return [_figure(aggregate, _sum(by_slot[slot]), step_s) if slot in by_slot else None for slot in range(slots)]


def _figure(aggregate: str, growth: Growth, step_s: float) -> float | None:
    if aggregate in PERCENTILES:
        return quantile(PERCENTILES[aggregate], growth.buckets)
    if aggregate == "avg":
        return growth.value / growth.counted if growth.counted else None
    if aggregate in ("increase", "sum"):
        return growth.value
    events = growth.counted if growth.buckets or growth.counted else growth.value
    return events / step_s if aggregate == "rate" else events


def _growth(before: Total | None, now: Total) -> Growth:
    if before is None and not now.fresh:
        return Growth()  # it had counted for who knows how long: where it stands says nothing of this slot
    # A histogram's sum may fall, where negative values are measured; the number of measurements may not.
    reset = before is None or (now.value < before.value if now.buckets is None else now.counted < before.counted)
    old = None if reset else before
    buckets = [] if now.buckets is None else [grown(old.buckets if old else None, now.buckets)]
    return Growth(
        now.value - (old.value if old else 0.0),
        now.counted - (old.counted if old else 0),
        tuple(buckets),
    )


def _sum(growths: Sequence[Growth]) -> Growth:
    return Growth(
        sum(growth.value for growth in growths),
        sum(growth.counted for growth in growths),
        tuple(merged(buckets for growth in growths for buckets in growth.buckets)),
    )
