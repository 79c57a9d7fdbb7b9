"""Histograms as OTLP has them, with explicit bounds or exponential ones: differences, sums, percentiles.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram and #exponentialhistogram
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias


@dataclass(frozen=True)
class Explicit:
    """`counts[i]` measurements in (bounds[i-1], bounds[i]]; there is one count more than there are bounds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Exponential:
    """`positive[i]` measurements in (base**i, base**(i+1)], where base is 2**(2**-scale); negative alike."""

    scale: int
    zero: int = 0
    positive: Mapping[int, int] = field(default_factory=dict)
    negative: Mapping[int, int] = field(default_factory=dict)


Buckets: TypeAlias = Explicit | Exponential
Bin: TypeAlias = tuple[float, float, int]
"""From, to, how many."""


def grown(before: Buckets | None, after: Buckets) -> Buckets:
    """What came between two states of a cumulative histogram; all of `after` where it has begun anew."""
    if before is None:
        return after
    if isinstance(before, Explicit) and isinstance(after, Explicit):
        return _explicit_growth(before, after)
    if isinstance(before, Exponential) and isinstance(after, Exponential):
        return _exponential_growth(before, after)
    return after


def merged(parts: Iterable[Buckets]) -> list[Buckets]:
    """The sums of those that can be added up: one for each set of explicit bounds, one of all exponential ones."""
    explicit: dict[tuple[float, ...], list[Explicit]] = defaultdict(list)
    exponential: list[Exponential] = []
    for part in parts:
        if isinstance(part, Explicit):
            explicit[part.bounds].append(part)
        else:
            exponential.append(part)
    sums: list[Buckets] = [
        Explicit(bounds, tuple(sum(column) for column in zip(*(each.counts for each in group), strict=True)))
        for bounds, group in explicit.items()
    ]
    return sums + ([_exponential_sum(exponential)] if exponential else [])


def quantile(share: float, buckets: Iterable[Buckets]) -> float | None:
    """The value that a `share` (0 to 1) of the measurements does not exceed; None where there are none.

    Exact only as far as the buckets are narrow: within one, measurements count as spread evenly. Beyond the
    last bound nothing is known, and the bound itself is the answer.
    """
    bins = sorted(each for part in buckets for each in _bins(part) if each[2] > 0)
    total = sum(count for _, _, count in bins)
    if not total:
        return None
    rank = share * total
    for low, high, count in bins:
        if rank <= count:
            return low + (high - low) * max(0.0, rank) / count
        rank -= count
    return bins[-1][1]


def _bins(buckets: Buckets) -> list[Bin]:
    if isinstance(buckets, Explicit):
        return _explicit_bins(buckets)
    bins = [(-high, -low, count) for low, high, count in _exponential_bins(buckets.scale, buckets.negative)]
    return [*bins, (0.0, 0.0, buckets.zero), *_exponential_bins(buckets.scale, buckets.positive)]


def _explicit_bins(buckets: Explicit) -> list[Bin]:
    if not buckets.bounds:
        return []  # a histogram of one bucket says nothing about where in it
    first, last = buckets.bounds[0], buckets.bounds[-1]
    edges = [min(0.0, first), *buckets.bounds, last]
    return [(low, high, count) for (low, high), count in zip(pairwise(edges), buckets.counts, strict=True)]


def _exponential_bins(scale: int, counts: Mapping[int, int]) -> list[Bin]:
    return [(_edge(scale, index), _edge(scale, index + 1), count) for index, count in counts.items()]


def _edge(scale: int, index: int) -> float:
    """base**index, kept within what a float can hold."""
    return math.pow(2.0, min(1023.0, max(-1074.0, math.ldexp(index, -scale))))


def _explicit_growth(before: Explicit, after: Explicit) -> Explicit:
    if before.bounds != after.bounds:
        return after
    counts = tuple(new - old for old, new in zip(before.counts, after.counts, strict=True))
    return after if min(counts, default=0) < 0 else Explicit(after.bounds, counts)


def _exponential_growth(before: Exponential, after: Exponential) -> Exponential:
    scale = min(before.scale, after.scale)
    old, new = _at_scale(before, scale), _at_scale(after, scale)
    grown = Exponential(
        scale,
        new.zero - old.zero,
        _difference(old.positive, new.positive),
        _difference(old.negative, new.negative),
    )
    negative = min([grown.zero, *grown.positive.values(), *grown.negative.values()]) < 0
    return after if negative else grown


def _difference(old: Mapping[int, int], new: Mapping[int, int]) -> dict[int, int]:
    return {index: new.get(index, 0) - old.get(index, 0) for index in old.keys() | new.keys()}


def _exponential_sum(parts: Sequence[Exponential]) -> Exponential:
    scale = min(part.scale for part in parts)
    positive: dict[int, int] = defaultdict(int)
    negative: dict[int, int] = defaultdict(int)
    for part in (_at_scale(part, scale) for part in parts):
        for total, counts in ((positive, part.positive), (negative, part.negative)):
            for index, count in counts.items():
                total[index] += count
    return Exponential(scale, sum(part.zero for part in parts), dict(positive), dict(negative))


def _at_scale(buckets: Exponential, scale: int) -> Exponential:
    """The same at a coarser scale: each step down joins neighbours two by two."""
    steps = buckets.scale - scale
    if steps == 0:
        return buckets
    return Exponential(scale, buckets.zero, _joined(buckets.positive, steps), _joined(buckets.negative, steps))


def _joined(counts: Mapping[int, int], steps: int) -> dict[int, int]:
    joined: dict[int, int] = defaultdict(int)
    for index, count in counts.items():
        joined[index >> steps] += count
    return dict(joined)
