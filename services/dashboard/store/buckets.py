"""Buckets of a histogram as the table holds them, in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from services.dashboard.domain.histograms import Buckets, Explicit, Exponential


def dump_buckets(buckets: Buckets) -> str:
    if isinstance(buckets, Explicit):
        return _compact({"bounds": buckets.bounds, "counts": buckets.counts})
    return _compact(
        {
            "scale": buckets.scale,
            "zero": buckets.zero,
            "positive": _pairs(buckets.positive),
            "negative": _pairs(buckets.negative),
        }
    )


def load_buckets(text: str) -> Buckets:
    """Reads what `dump_buckets` wrote."""
    read = json.loads(text)
    if "bounds" in read:
        return Explicit(tuple(read["bounds"]), tuple(read["counts"]))
    return Exponential(read["scale"], read["zero"], dict(read["positive"]), dict(read["negative"]))


def _pairs(counts: Mapping[int, int]) -> list[tuple[int, int]]:
    return [(index, count) for index, count in counts.items() if count]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
